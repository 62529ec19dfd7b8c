"""Guest output as text that is safe to show: in a terminal, in a page, in a drawing.

Whatever a guest prints is hostile: control sequences drive a terminal, bidirectional overrides turn a line
round, invisible characters hide words. Here they become visible, or go. Markup is not this file's matter:
the template escapes it.
"""

from __future__ import annotations

import re
import unicodedata

# Complete terminal sequences only carry colour and cursor movement: they go. What is left of an incomplete
# or malformed one is made visible below. Bounded, so that an unfinished one cannot swallow a report.
_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]{0,32}[ -/]{0,8}[@-~]"  # CSI
    r"|(?:\x1b[\]P^_X]|[\x9d\x90\x9e\x9f\x98])[^\x00-\x1f\x7f-\x9f]{0,256}(?:\x07|\x1b\\|\x9c)"  # OSC, DCS, …
    r"|\x1b[()][0-9A-B]"  # character sets
)
_LINE_END = re.compile(r"\r+\n|\r")
# Cc control, Cf format (bidirectional overrides, zero width), Cs lone surrogates, Co private, Cn unassigned,
# Zl and Zp line and paragraph separators.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Which request, which block, how long, which way: what changes where storage says the same of request after request.
# The number in the name of a device stays.
_OF_ONE_REQUEST = re.compile(r"\b(?:0x)?[0-9a-f]*\d[0-9a-f]*B?\b|\b(?:read|write)(?=@)")
_PLAIN_ASCII = re.compile(r"[\n\t -~]*\Z")


def plain(data: bytes | str) -> str:
    """`data` as text with nothing in it but printable characters, newlines and tabs.

    Terminal sequences are dropped, carriage returns become newlines; every other control, format, surrogate
    or unassigned character, and every byte that is not UTF-8, is shown as an escape such as `\\x1b`.
    """
    text = data.decode("utf-8", "backslashreplace") if isinstance(data, bytes) else data
    if _PLAIN_ASCII.match(text):
        return text
    text = _LINE_END.sub("\n", _SEQUENCE.sub("", text))
    return "".join(character if _is_visible(character) else _escape(character) for character in text)


def plain_line(data: bytes | str, limit: int = 200) -> str:
    """`plain(data)` on one line of at most `limit` characters; a cut is shown by an ellipsis."""
    line = " ".join(plain(data).split())
    return line if len(line) <= limit else line[: max(0, limit - 1)] + "…"


def _is_visible(character: str) -> bool:
    return character in "\n\t" or unicodedata.category(character) not in _HIDDEN


def _escape(character: str) -> str:
    code = ord(character)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def repeated_part(message: str) -> str:
    """What is the same in messages that differ only in the request that they are about."""
    return _OF_ONE_REQUEST.sub("0", message)
