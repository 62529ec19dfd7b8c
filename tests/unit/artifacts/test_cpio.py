"""Initramfs archives: readable by the tool whose format it is, and the same bytes for the same input."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.artifacts.cpio import make_cpio


def read_newc(archive: bytes) -> dict[str, tuple[int, bytes]]:
    """Path → mode and contents, by the format's description in Documentation/driver-api/early-userspace."""
    members: dict[str, tuple[int, bytes]] = {}
    at = 0
    while True:
        assert archive[at : at + 6] == b"070701"
        fields = [int(archive[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        mode, size, name_size = fields[1], fields[6], fields[11]
        name = archive[at + 110 : at + 110 + name_size - 1].decode()
        start = (at + 110 + name_size + 3) // 4 * 4
        if name == "TRAILER!!!":
            return members
        members[name] = (mode, archive[start : start + size])
        at = (start + size + 3) // 4 * 4


def test_folders_come_before_what_is_in_them(tmp_path: Path) -> None:
    (tmp_path / "ko").write_bytes(b"module")
    archive = make_cpio({"/a/b/c.ko": tmp_path / "ko", "init": b"#!"}, {"init": 0o755})
    members = read_newc(archive)
    assert members == {
        "a": (0o040755, b""),
        "a/b": (0o040755, b""),
        "a/b/c.ko": (0o100644, b"module"),
        "init": (0o100755, b"#!"),
    }
    assert list(members).index("a") < list(members).index("a/b") < list(members).index("a/b/c.ko")


names = st.text("abcdefgh.-_", min_size=1, max_size=12).filter(lambda name: name not in (".", ".."))


@given(st.dictionaries(names, st.binary(max_size=40), max_size=6))
def test_what_goes_in_comes_out(files: dict[str, bytes]) -> None:
    members = read_newc(make_cpio(dict(files)))
    assert {name: data for name, (_, data) in members.items()} == files
    assert make_cpio(dict(files)) == make_cpio(dict(reversed(files.items())))


@pytest.mark.skipif(shutil.which("cpio") is None, reason="needs the tool cpio (apt-get install cpio)")
def test_the_tool_reads_it(tmp_path: Path) -> None:
    archive = make_cpio({"seed/modules/nbd.ko": b"x" * 5, "seed/boot.sh": b"#!/bin/sh\n"}, {"seed/boot.sh": 0o755})
    subprocess.run(["cpio", "-idm", "--quiet"], input=archive, cwd=tmp_path, check=True)
    assert (tmp_path / "seed/modules/nbd.ko").read_bytes() == b"xxxxx"
    assert (tmp_path / "seed/boot.sh").stat().st_mode & 0o777 == 0o755
