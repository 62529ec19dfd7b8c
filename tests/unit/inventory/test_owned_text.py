"""The text of a host's table: whatever a host says, TOML reads the same again, and nothing else."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.inventory.owned_text import host_text, quoted

SCALARS = st.text(st.characters(codec="utf-8"))  # TOML has no surrogates


@given(text=SCALARS, key=SCALARS, number=st.integers(0, 1 << 40), flag=st.booleans())
def test_toml_reads_what_was_written(text: str, key: str, number: int, flag: bool) -> None:
    table = {"name": text, "number": number, "flag": flag, "inner": {key: text, "deeper": {"x": text}}, "none": {}}
    assert tomllib.loads(host_text(table)) == {"host": [table]}


@given(text=st.text())
def test_no_text_ends_a_line_or_drives_a_terminal(text: str) -> None:
    assert quoted(text).isprintable()
    tomllib.loads(f"x = {quoted(text)}")


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ('a"b\\c', '"a\\"b\\\\c"'),
        ("\x1b[2J\n[[host]]", '"\\u001b[2J\\u000a[[host]]"'),
        ("\u202e", '"\\u202e"'),
        ("\U000e0001", '"\\U000e0001"'),
        ("\udcff", '"\\ufffd"'),
    ],
)
def test_how_it_is_written(text: str, written: str) -> None:
    assert quoted(text).replace("\ufffd", "\\ufffd") == written
