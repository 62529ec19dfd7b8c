"""A board: whoever reads it leaves a word there, and the script never writes over it."""

from __future__ import annotations

from pathlib import Path

from harness.guest.board import RUN, STOP, WAIT, Board


def test_an_order_stays_whatever_is_written_below_it(tmp_path: Path) -> None:
    path = tmp_path / "board"
    board = Board(str(path), 8)
    board.put(b"12345678")
    board.say(WAIT)
    with path.open("r+b") as file:
        file.write(STOP)
    board.put(b"abcd", 4)
    assert board.says(STOP) and not board.says(RUN)
    assert path.read_bytes() == b"stop\n1234abcd"
