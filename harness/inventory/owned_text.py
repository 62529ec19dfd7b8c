"""The table of a host as the text of an inventory. Its values may be a host's own words, so all of them are quoted."""

from __future__ import annotations

import re
from collections.abc import Mapping

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_ESCAPED = {'"': '\\"', "\\": "\\\\"}


def host_text(table: Mapping[str, object]) -> str:
    """`[[host]]` and its keys, in the order of `table`: texts, whole numbers, booleans, and tables of these."""
    return "\n".join(["[[host]]", *(f"{_key(key)} = {_value(value)}" for key, value in table.items()), ""])


def quoted(text: str) -> str:
    """A basic string of TOML; what a terminal would obey, or not show, is escaped."""
    return '"' + "".join(_ESCAPED.get(char) or (char if char.isprintable() else _escape(char)) for char in text) + '"'


def _escape(char: str) -> str:
    if "\ud800" <= char <= "\udfff":  # half of a pair, or a byte that is no UTF-8: TOML has no escape for it
        return "\ufffd"
    return f"\\u{ord(char):04x}" if ord(char) <= 0xFFFF else f"\\U{ord(char):08x}"


def _key(text: str) -> str:
    return text if _BARE.fullmatch(text) else quoted(text)


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(key)} = {_value(one)}" for key, one in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    assert isinstance(value, str), f"{type(value).__name__} has no place in a host's table"
    return quoted(value)
