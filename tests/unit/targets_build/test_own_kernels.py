"""Kernels that the user built: found with their modules, or refused with a reason."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from harness.model.errors import UsageError
from harness.model.observe import Silent
from harness.model.settings import Settings
from harness.targets.own_kernels import find_kernel, find_modules

RELEASE = "6.18.0-rc1+"


def boot_image(path: Path, version: str = f"{RELEASE} (me) #1") -> Path:
    head = bytearray(0x1000)
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", head, 0x20E, 0x400)
    head[0x600 : 0x600 + len(version)] = version.encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(head)
    return path


def modules(root: Path) -> Path:
    folder = root / "lib/modules" / RELEASE
    folder.mkdir(parents=True)
    (folder / "modules.dep").touch()
    return folder


@pytest.mark.parametrize("place", ["vmlinuz", "boot/vmlinuz-6.18.0-rc1+", "arch/x86/boot/bzImage"])
def test_modules_are_found_beside_and_above(tmp_path: Path, place: str) -> None:
    folder = modules(tmp_path)
    assert find_modules(boot_image(tmp_path / place), RELEASE) == folder


def test_modules_of_another_release_do_not_count(tmp_path: Path) -> None:
    modules(tmp_path)
    assert find_modules(boot_image(tmp_path / "vmlinuz"), "6.17.0") is None


def test_modules_without_an_index_say_what_to_run(tmp_path: Path) -> None:
    (modules(tmp_path) / "modules.dep").unlink()
    with pytest.raises(UsageError, match=rf"has no modules.dep; run: depmod -b {tmp_path} 6\.18"):
        find_modules(boot_image(tmp_path / "vmlinuz"), RELEASE)


@pytest.mark.parametrize(
    ("name", "problem"),
    [("./no/such", "cannot be read"), ("debian:3", "no distribution"), ("vmlinuz", "no distribution 'vmlinuz'")],
)
def test_what_is_no_kernel_is_refused(tmp_path: Path, name: str, problem: str) -> None:
    settings = Settings(state=tmp_path, cache=tmp_path / "cache", results=tmp_path)
    with pytest.raises(UsageError, match=problem):
        find_kernel(settings, name, Silent())
    assert not (tmp_path / "cache").exists()


def test_a_kernel_that_does_not_say_its_release(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path, cache=tmp_path / "cache", results=tmp_path)
    with pytest.raises(UsageError, match="does not say its release"):
        find_kernel(settings, str(boot_image(tmp_path / "vmlinuz", "")), Silent())
