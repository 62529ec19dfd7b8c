"""Guest output becomes text that is safe to show."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.results.text import plain, plain_line


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        ("nothing special\n\tdone", "nothing special\n\tdone"),
        ("größer 漢字", "größer 漢字"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b[1;1Hgone", "gone"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://x\x1b\\link", "link"),
        ("\x1b[\x1b[31m31m", "\\x1b[31m"),  # what is left after dropping one is not a sequence again
        ("\x1b]0;never ends", "\\x1b]0;never ends"),
        ("\x9b31mC1", "C1"),
        ("a\x00b\x07c\x7fd", "a\\x00b\\x07c\\x7fd"),
        ("one\r\ntwo\rthree\r\r\nfour", "one\ntwo\nthree\nfour"),
        ("abc\u202edef\u2066g\u200f", "abc\\u202edef\\u2066g\\u200f"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("\u2028line", "\\u2028line"),
        ("\udc80lone\ud800", "\\udc80lone\\ud800"),
        ("\U000e0001", "\\U000e0001"),
        (b"caf\xc3\xa9 \xff\xfe", "café \\xff\\xfe"),
        (b"\xed\xa0\x80", "\\xed\\xa0\\x80"),  # an encoded surrogate is not UTF-8
        ("<script>$x^2$]]>", "<script>$x^2$]]>"),  # markup is the template's matter
    ],
)
def test_plain(data: bytes | str, shown: str) -> None:
    assert plain(data) == shown


@given(st.text(st.characters(categories=None)) | st.binary())
def test_plain_leaves_only_printable_characters(data: bytes | str) -> None:
    text = plain(data)
    assert all(c in "\n\t" or unicodedata.category(c)[0] != "C" for c in text)
    assert plain(text) == text
    text.encode("utf-8")


def test_plain_line_is_one_bounded_line() -> None:
    assert plain_line("a\n b\t\r\nc") == "a b c"
    assert plain_line("x" * 300, 10) == "x" * 9 + "…"
    assert plain_line(b"\x1b[1mok\x1b[0m") == "ok"
