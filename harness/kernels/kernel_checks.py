"""Checks of files: a kernel image that boots, a module that this kernel loads."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from harness.kernels.module_set import read_module
from harness.model.errors import UsageError

# Documentation/arch/x86/boot.rst: the header's magic, and the offset of the version string, less 0x200.
_MAGIC_AT, _MAGIC = 0x202, b"HdrS"
_VERSION_AT = 0x20E
_NO_ELF = (ELFError, OverflowError, ValueError)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleInfo:
    """A module's own information: its name, and the release of the kernel that it was built for."""

    name: str
    release: str
    vermagic: str


def check_kernel_image(path: Path) -> str:
    """The version string of a Linux boot image for x86; raises UsageError if `path` is not one."""
    try:
        with path.open("rb") as file:
            head = file.read(0x10000)
    except OSError as error:
        raise UsageError(f"kernel {path} cannot be read: {error.strerror}") from error
    if head[_MAGIC_AT : _MAGIC_AT + 4] != _MAGIC:
        raise UsageError(f"{path} is no kernel: it has no x86 boot header; give a bzImage (vmlinuz), not {_kind(head)}")
    (offset,) = struct.unpack_from("<H", head, _VERSION_AT)
    return head[offset + 0x200 :].split(b"\0", 1)[0].decode("ascii", "replace")


def read_module_info(path: Path) -> ModuleInfo:
    """Name and kernel release of the module file `path`; raises UsageError if it is not a kernel module."""
    try:
        data = read_module(path)
    except OSError as error:
        raise UsageError(f"module {path} cannot be read: {error.strerror}") from error
    said = _modinfo(data)
    if said is None:
        raise UsageError(f"{path} is no kernel module: it is {_kind(data)}, not a relocatable ELF file")
    if "vermagic" not in said or "name" not in said:
        raise UsageError(f"{path} is no kernel module: it names no kernel that it was built for (vermagic)")
    return ModuleInfo(name=said["name"], release=said["vermagic"].split()[0], vermagic=said["vermagic"])


def check_module(path: Path, release: str) -> ModuleInfo:
    """Name and kernel release of a module; raises UsageError if it was not built for the kernel `release`."""
    info = read_module_info(path)
    if info.release != release:
        hint = "build it for that kernel, or choose the kernel it was built for"
        raise UsageError(f"module {path} was built for kernel {info.release}, the guest runs {release}; {hint}")
    return info


def _modinfo(data: bytes) -> dict[str, str] | None:
    """The section .modinfo, NUL-terminated `name=value` strings; the last of a name wins. None: not a module."""
    try:
        elf = ELFFile(BytesIO(data))
    except _NO_ELF:
        return None
    if elf.header["e_type"] != "ET_REL":
        return None
    try:
        section = elf.get_section_by_name(".modinfo")
        entries = section.data().decode("utf-8", "replace").split("\0") if section else []
    except _NO_ELF:  # ELF by its header only
        return {}
    pairs = (entry.partition("=") for entry in entries)
    return {name: value for name, _, value in pairs if value.strip()}


def _kind(head: bytes) -> str:
    known = {b"\x7fELF": "an ELF file", b"\x1f\x8b": "a gzip file", b"QFI\xfb": "a qcow2 image", b"#!": "a script"}
    return next((kind for magic, kind in known.items() if head.startswith(magic)), "something else")


def source_version(path: Path) -> str:
    """The module's `srcversion`, which /sys/module/<name>/srcversion shows of a loaded one; "" if it has none."""
    return (_modinfo(read_module(path)) or {}).get("srcversion", "")
