"""Files of any size and content are shown in bounds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.report.read.excerpt import HEAD, TAIL, console_tail, excerpt


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


def test_a_small_file_is_shown_whole(path: Path) -> None:
    path.write_bytes(b"a\x1b[31mb\n")
    shown = excerpt(path, "n")
    assert (shown.head, shown.tail, shown.note, shown.size) == ("ab\n", "", "", "8 bytes")


def test_a_file_as_long_as_the_bounds_is_whole(path: Path) -> None:
    path.write_bytes(b"x" * (HEAD + TAIL))
    shown = excerpt(path, "n")
    assert (len(shown.head), shown.tail, shown.note) == (HEAD + TAIL, "", "")


def test_a_large_file_is_cut_and_says_so(path: Path) -> None:
    path.write_bytes(b"h" * HEAD + b"m" * 1024 * 1024 + b"t" * TAIL)
    shown = excerpt(path, "n")
    assert (shown.head, shown.tail) == ("h" * HEAD, "t" * TAIL)
    assert shown.note == "1.0 MiB left out: only the first 16 KiB and the last 16 KiB are shown"


def test_a_console_shows_its_end(path: Path) -> None:
    path.write_bytes(b"\0" * 90_000 + b"\xff\0" + b"t" * (2 * TAIL - 2))
    shown = console_tail(path, "client")
    assert shown.head == ""
    assert shown.tail == "\\xff\\x00" + "t" * (2 * TAIL - 2)
    assert "left out: only the last 32 KiB are shown" in shown.note


def test_binary_data_is_named_and_not_shown(path: Path) -> None:
    path.write_bytes(bytes(range(32)) * 100)
    assert excerpt(path, "dump").note == "binary data, not shown"


def test_an_empty_file_says_so(path: Path) -> None:
    path.touch()
    assert excerpt(path, "n").note == "empty"
    assert console_tail(path, "n").note == "empty"


def test_links_pipes_and_missing_files_are_not_read(path: Path) -> None:
    assert "cannot be shown" in excerpt(path, "n").note
    path.symlink_to("/etc/hostname")
    assert "cannot be shown" in excerpt(path, "n").note
    path.unlink()
    os.mkfifo(path)
    assert excerpt(path, "n").note == "cannot be shown: not a regular file"
    assert console_tail(path, "n").note == "cannot be shown: not a regular file"
