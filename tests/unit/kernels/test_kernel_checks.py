"""Kernels and modules are recognised by their contents, and a wrong one is refused with a reason."""

from __future__ import annotations

import gzip
import lzma
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from kernel_makers import RELEASE, module

from harness.kernels.kernel_checks import check_kernel_image, check_module, read_module_info
from harness.model.errors import UsageError

ELF64 = b"\x7fELF\2\1\1" + bytes(9)  # 64 bits, least significant byte first


def boot_image(version: str = "6.1.0-56-amd64 (builder) #1 SMP") -> bytes:
    head = bytearray(0x4000)
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", head, 0x20E, 0x3000 - 0x200)
    head[0x3000 : 0x3000 + len(version)] = version.encode()
    return bytes(head)


def test_a_kernel_says_its_version(tmp_path: Path) -> None:
    path = tmp_path / "vmlinuz"
    path.write_bytes(boot_image())
    assert check_kernel_image(path) == "6.1.0-56-amd64 (builder) #1 SMP"


@pytest.mark.parametrize(
    ("contents", "kind"),
    [(b"", "something else"), (b"\x7fELF" + bytes(0x300), "an ELF file"), (b"QFI\xfb" + bytes(0x300), "a qcow2 image")],
)
def test_what_is_no_kernel_is_refused(tmp_path: Path, contents: bytes, kind: str) -> None:
    path = tmp_path / "vmlinux"
    path.write_bytes(contents)
    with pytest.raises(UsageError, match=rf"{path} is no kernel: .*bzImage.*not {kind}$"):
        check_kernel_image(path)


def test_a_kernel_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        check_kernel_image(tmp_path / "none")


@pytest.mark.parametrize(("suffix", "pack"), [("", bytes), (".xz", lzma.compress), (".gz", gzip.compress)])
def test_a_module_says_what_it_was_built_for(tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / f"nbd.ko{suffix}"
    path.write_bytes(pack(module(tmp_path / "built" / "nbd.ko").read_bytes()))
    info = check_module(path, RELEASE)
    assert (info.name, info.release, info.vermagic) == ("nbd", RELEASE, f"{RELEASE} SMP")


def test_what_a_module_prints_is_not_what_it_says_of_itself(tmp_path: Path) -> None:
    path = module(tmp_path / "nfs.ko", text=r"fileid=%llu\0name=%02x:%02x:%llu/%s\0vermagic=none")  # as in nfstrace.h
    info = check_module(path, RELEASE)
    assert (info.name, info.release) == ("nfs", RELEASE)


def test_a_module_of_another_kernel_is_refused_by_both_names(tmp_path: Path) -> None:
    path = module(tmp_path / "nbd.ko", "6.1.0-55-amd64")
    with pytest.raises(UsageError, match=r"nbd.ko was built for kernel 6.1.0-55-amd64, the guest runs 6.1.0-56-amd64;"):
        check_module(path, "6.1.0-56-amd64")


@pytest.mark.parametrize(
    ("contents", "problem"),
    [
        (b"#!/bin/sh\n", "it is a script, not a relocatable ELF file"),
        (ELF64 + b"\2\0" + bytes(64), "it is an ELF file, not a relocatable"),
        (ELF64 + b"\1\0" + bytes(64), "names no kernel"),
        (b"\x7fELF" + bytes(12) + b"\1\0" + bytes(64), "it is an ELF file, not a relocatable"),
        (b"", "something else"),
    ],
)
def test_what_is_no_module_is_refused(tmp_path: Path, contents: bytes, problem: str) -> None:
    path = tmp_path / "nbd.ko"
    path.write_bytes(contents)
    with pytest.raises(UsageError, match=f"nbd.ko is no kernel module: .*{problem}"):
        read_module_info(path)


@pytest.mark.parametrize("suffix", [".xz", ".gz"])
def test_a_module_that_is_badly_compressed(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"nbd.ko{suffix}"
    path.write_bytes(b"not compressed")
    with pytest.raises(UsageError, match="cannot be uncompressed"):
        read_module_info(path)


def test_a_module_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none.ko cannot be read: No such file"):
        read_module_info(tmp_path / "none.ko")
