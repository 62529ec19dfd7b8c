"""Initramfs archives: the newc format of cpio, written the same way every time."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

FOLDER_MODE = stat.S_IFDIR | 0o755
FILE_MODE = stat.S_IFREG | 0o644


def make_cpio(files: Mapping[str, bytes | Path], modes: Mapping[str, int] | None = None) -> bytes:
    """A newc archive of `files`: path inside → contents, or the file that holds them; folders are added.

    `modes` gives permissions (0o755) where they are not 0o644. Owner is root, time 0, so equal input gives equal
    bytes. The kernel unpacks concatenated archives in order; a later file replaces an earlier one.
    """
    contents = {_inside(path): _read(data) for path, data in files.items()}
    rights = {_inside(path): mode for path, mode in (modes or {}).items()}
    archive = bytearray()
    for number, (path, mode, data) in enumerate(_members(contents, rights), start=1):
        archive += _member(number, path, mode, data)
    archive += _member(0, "TRAILER!!!", 0, b"")
    return bytes(archive)


def _members(contents: Mapping[str, bytes], rights: Mapping[str, int]) -> Iterator[tuple[str, int, bytes]]:
    folders = {str(parent) for path in contents for parent in PurePosixPath(path).parents} - {"."}
    yield from ((folder, FOLDER_MODE, b"") for folder in sorted(folders))
    for path in sorted(contents):
        yield path, stat.S_IFREG | rights.get(path, FILE_MODE) & 0o7777, contents[path]


def _member(number: int, path: str, mode: int, data: bytes) -> bytes:
    name = path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(mode) else 1
    # inode, mode, uid, gid, links, mtime, size, device (major, minor), rdev (major, minor), name size, checksum
    fields = (number, mode, 0, 0, links, 0, len(data), 0, 0, 0, 0, len(name), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    return _padded(header + name) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)


def _inside(path: str) -> str:
    return path.strip("/")


def _read(data: bytes | Path) -> bytes:
    return data.read_bytes() if isinstance(data, Path) else data
