"""Guest output as text that is safe to show: in a terminal, in a page, in a drawing.

All guest output is untrusted: control sequences drive a terminal, bidirectional overrides reverse a line,
invisible characters hide words. Here they become visible or are removed. The page's template escapes markup.
"""

from __future__ import annotations

import re
import unicodedata

# Complete terminal sequences only carry colour and cursor movement, so they are removed. Incomplete or malformed
# ones are made visible below. Lengths are bounded, so that an unfinished sequence cannot swallow a report.
_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]{0,32}[ -/]{0,8}[@-~]"  # CSI
    r"|(?:\x1b[\]P^_X]|[\x9d\x90\x9e\x9f\x98])[^\x00-\x1f\x7f-\x9f]{0,256}(?:\x07|\x1b\\|\x9c)"  # OSC, DCS, …
    r"|\x1b[()][0-9A-B]"  # character sets
)
_LINE_END = re.compile(r"\r+\n|\r")
# Cc control, Cf format (bidirectional overrides, zero width), Cs lone surrogates, Co private, Cn unassigned,
# Zl and Zp line and paragraph separators.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# The parts of a storage message that differ from request to request: request, block, length, direction.
# The number in a device's name stays.
_OF_ONE_REQUEST = re.compile(r"\b(?:0x)?[0-9a-f]*\d[0-9a-f]*B?\b|\b(?:read|write)(?=@)")
_PLAIN_ASCII = re.compile(r"[\n\t -~]*\Z")


def plain(data: bytes | str) -> str:
    """`data` as text of printable characters, newlines and tabs only.

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
    """The part of `message` that stays the same when it is repeated for other requests."""
    return _OF_ONE_REQUEST.sub("0", message)
