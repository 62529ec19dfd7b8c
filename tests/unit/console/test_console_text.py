"""Console bytes to pieces: every prefix that kernels and log daemons put before a message."""

from __future__ import annotations

import pytest

from harness.verdicts.console.text import LINE_CAP, Piece, pieces


@pytest.mark.parametrize(
    ("raw", "piece"),
    [
        (b"[   12.345678] message", Piece("message", 12.345678)),
        (b"[   12.345678][ T1234] message", Piece("message", 12.345678, "T1234")),
        (b"[   12.345678] [    C0] message", Piece("message", 12.345678, "C0")),
        (b"<6>[   12.345678] message\r", Piece("message", 12.345678)),
        (b"4,1736499,1121675690224,-;message", Piece("message", 1121675.690224)),
        (b"[Sun Jun  5 09:44:51 2022] message", Piece("message")),
        (b"Dec  9 13:22:52 klimt kernel: message", Piece("message")),
        (b"Dec  9 13:22:52 klimt kernel: [    7.500000] message", Piece("message", 7.5)),
        (b"2024-12-09T13:22:52.123456+01:00 klimt kernel: message", Piece("message")),
        (b"2024-12-09T13:22:52,123456+01:00 message", Piece("message")),
        (b"\x1b[0;32mmessage\x1b[0m", Piece("message")),
        (b"mes\0sage", Piece("message")),
        (b"", Piece("")),
    ],
)
def test_prefix_is_taken_off(raw: bytes, piece: Piece) -> None:
    assert pieces(raw) == [piece]


def test_two_processors_in_one_line_are_two_pieces() -> None:
    found = pieces(b"syzkaller login: [   35.184476][    C1] BUG: one[   35.2000][    T7] two")
    assert found == [Piece("syzkaller login: "), Piece("BUG: one", 35.184476, "C1"), Piece("two", 35.2, "T7")]


def test_bytes_that_are_no_text_are_kept_as_replacements() -> None:
    assert pieces(b"[    1.000000] a\xff\xfeb") == [Piece("a\ufffd\ufffdb", 1.0)]


def test_a_line_beyond_the_cap_is_cut() -> None:
    assert pieces(b"x" * (LINE_CAP + 10)) == [Piece("x" * LINE_CAP)]
