"""Which modules of a host replace one of the kernel's, and which only lie there."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.guests import boot_spec
from harness.guests.boot_spec import Machine, machines_for
from harness.kernels import host_kernels
from harness.kernels.host_kernels import kernels_for
from harness.model.errors import UsageError
from harness.model.observe import Silent
from harness.model.settings import Settings
from harness.model.topology import MIB, Host


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Nothing is built: a kernel that has nbd, and modules that are files of the variant's name."""
    folder = tmp_path / "6.1.0-1-amd64"
    folder.mkdir()
    (folder / "modules.dep").write_text("kernel/drivers/block/nbd.ko:\nkernel/fs/ext4/ext4.ko:\n")
    kernel = SimpleNamespace(release=folder.name, modules_dir=folder)
    monkeypatch.setattr(boot_spec, "build_image", lambda *_: None)
    monkeypatch.setattr(host_kernels, "find_kernel", lambda *_, **__: kernel)
    monkeypatch.setattr(host_kernels, "check_kernel", lambda *_: None)
    monkeypatch.setattr(boot_spec, "find_accelerator", lambda *_: "tcg")
    monkeypatch.setattr(
        host_kernels, "build_variant", lambda _settings, _kernel, name, _progress: Path(f"{name}.built")
    )
    monkeypatch.setattr(host_kernels, "check_module", lambda file, _release: SimpleNamespace(name="nbd"))
    return folder.name


def made_of(settings: Settings, hosts: list[Host]) -> dict[str, Machine]:
    return machines_for(settings, hosts, kernels_for(settings, hosts, Silent(), {}), Silent())


def test_a_module_of_our_own_replaces_none_and_still_comes_along(tmp_path: Path, release: str) -> None:
    settings = Settings(state=tmp_path, cache=tmp_path, results=tmp_path)
    host = Host(name="a", memory=MIB, modules=("nbd-no-memalloc", "harness-fault"))
    plain = Host(name="b", memory=MIB)
    made = made_of(settings, [host, plain])
    assert made["a"].modules == {"kernel/drivers/block/nbd.ko": Path("nbd-no-memalloc.built")}
    assert made["a"].own_modules == {"harness_fault": Path("harness-fault.built")}
    assert (made["b"].modules, made["b"].own_modules) == ({}, {})


def test_modules_of_patches_replace_the_kernels_as_others_do(
    tmp_path: Path, release: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(state=tmp_path, cache=tmp_path, results=tmp_path)
    given: list[tuple[str, ...]] = []

    def build(_settings: object, _kernel: object, patches: tuple[str, ...], _progress: object) -> list[Path]:
        given.append(patches)
        return [Path("patched/nbd.ko")]

    monkeypatch.setattr(host_kernels, "build_patched", build)
    made = made_of(settings, [Host(name="a", memory=MIB, patches=("1.patch", "2.patch"))])
    assert made["a"].modules == {"kernel/drivers/block/nbd.ko": Path("patched/nbd.ko")}
    assert given == [("1.patch", "2.patch")]
    both = Host(name="a", memory=MIB, modules=("nbd-no-memalloc",), patches=("1.patch",))
    with pytest.raises(
        UsageError, match=r"nbd.ko is touched by a patch, and replaced by nbd-no-memalloc.built as well"
    ):
        made_of(settings, [both])


def test_a_kernel_is_found_once_and_looked_at_for_all_of_its_hosts(
    tmp_path: Path, release: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, looked = list[tuple[str, str]](), list[dict[str, tuple[str, ...]]]()
    kernel = SimpleNamespace(release=release, modules_dir=tmp_path / release)

    def find(_settings: object, name: str, _progress: object, *, modules_from: str) -> object:
        found.append((name, modules_from))
        return kernel

    monkeypatch.setattr(host_kernels, "find_kernel", find)
    monkeypatch.setattr(host_kernels, "check_kernel", lambda _kernel, needs, _progress: looked.append(dict(needs)))
    hosts = [
        Host(name="a", memory=MIB, kernel="./k", modules_from="./m"),
        Host(name="b", memory=MIB),
        Host(name="c", memory=MIB, kernel="./k", modules_from="./m"),
    ]
    settings = Settings(state=tmp_path, cache=tmp_path, results=tmp_path)
    kernels_for(settings, hosts, Silent(), {"a": ("nbd",), "b": ("nfsd",)})
    assert found == [("./k", "./m"), ("debian:12", "")]
    assert looked == [{"a": ("nbd",), "c": ()}, {"b": ("nfsd",)}]


def test_a_module_of_the_initramfs_is_refused_as_nothing_could_replace_it_in_time(
    tmp_path: Path, release: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_kernels, "check_module", lambda file, _release: SimpleNamespace(name="ext4"))
    settings = Settings(state=tmp_path, cache=tmp_path, results=tmp_path)
    with pytest.raises(UsageError, match=r"ext4.ko is loaded from the initramfs, before any module can be replaced"):
        made_of(settings, [Host(name="a", memory=MIB, modules=("./ext4.ko",))])
