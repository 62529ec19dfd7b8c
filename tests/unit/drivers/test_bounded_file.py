"""A file that never grows past its limit, and loses nothing but the middle."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.drivers.serial.bounded_file import BoundedFile

MARK = re.compile(rb"\n\[harness: (\d+) bytes left out here\]\n")


def on_disk(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


@given(st.integers(0, 200), st.lists(st.binary(max_size=90), max_size=25))
def test_any_input_stays_within_the_limit_and_only_its_middle_is_lost(limit: int, pieces: list[bytes]) -> None:
    given_bytes = b"".join(pieces)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = BoundedFile(folder / "console", limit)
        for piece in pieces:
            file.write(piece)
            assert on_disk(folder) <= max(limit, 3)
        file.close()
        assert [path.name for path in folder.iterdir()] == ["console"]
        kept = (folder / "console").read_bytes()
    if kept == given_bytes:
        return
    # What was left out is as long as the line says; the input may hold such a line itself, so each is tried.
    assert any(
        given_bytes == kept[: found.start()] + given_bytes[found.start() : -len(kept[found.end() :]) or None] + tail
        and int(found[1]) == len(given_bytes) - found.start() - len(tail)
        for found in MARK.finditer(kept)
        for tail in (kept[found.end() :],)
    )


def test_the_beginning_and_the_end_are_kept(tmp_path: Path) -> None:
    file = BoundedFile(tmp_path / "console", 1000)
    for number in range(10_000):
        file.write(b"%06d\n" % number)
    file.close()
    text = (tmp_path / "console").read_bytes()
    assert text.startswith(b"000000\n000001\n") and text.endswith(b"009998\n009999\n")
    assert len(text) < 1100 and MARK.search(text)


def test_everything_is_on_disk_at_once(tmp_path: Path) -> None:
    file = BoundedFile(tmp_path / "console", 100)
    file.write(b"x" * 60)
    assert (tmp_path / "console").read_bytes() == b"x" * 50
    assert (tmp_path / "console.new").read_bytes() == b"x" * 10
    file.close()


def test_after_close_nothing_happens(tmp_path: Path) -> None:
    file = BoundedFile(tmp_path / "console", 100)
    file.write(b"one")
    file.close()
    file.write(b"two")
    file.close()
    assert (tmp_path / "console").read_bytes() == b"one"


def test_a_full_disk_is_told() -> None:
    file = BoundedFile(Path("/dev/full"), 100)
    with pytest.raises(OSError, match="space"):
        file.write(b"x")
    file.close()
