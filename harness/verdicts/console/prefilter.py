"""Where in a block of console bytes a headline may be: the cheap look before any line is split.

Nearly every block of a console holds no headline. So a block is first reduced to its rare letters, in one quick
pass, and the little that is left is searched for what each token reduces to; tokens that leave too little are searched
for in the block itself.
"""

from __future__ import annotations

from harness.verdicts.console.boot import BANNERS
from harness.verdicts.console.patterns import TOKENS

__all__ = ["Hits", "may_match"]

_RARE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ#bkmpvy")
_COMMON = bytes(code for code in range(256) if code not in _RARE)


def _rest(token: bytes) -> bytes:
    return token.translate(None, _COMMON)


def _told(token: bytes) -> bool:
    """Whether what a token leaves is rare enough to tell it: a `#`, or two letters."""
    rest = _rest(token)
    return b"#" in rest or len(rest) > 1


_NEEDLES = tuple(token.encode() for token in (*TOKENS, *BANNERS))
_TOLD = {_rest(needle): tuple(n for n in _NEEDLES if _rest(n) == _rest(needle)) for needle in _NEEDLES if _told(needle)}
_WHOLE = tuple(needle for needle in _NEEDLES if not _told(needle))


def _needles_in(part: bytes) -> list[bytes]:
    """The tokens that a line or block holds."""
    found = [needle for needle in _WHOLE if needle in part]
    left = part.translate(None, _COMMON)
    for rest, needles in _TOLD.items():
        if rest in left:
            found += [needle for needle in needles if needle in part]
    return found


def may_match(line: bytes) -> bool:
    """Whether a line holds a token, so that it may be a headline."""
    return bool(_needles_in(line))


class Hits:
    """The places of tokens in one block, asked for in rising order."""

    def __init__(self, block: bytes) -> None:
        self._block = block
        self._next = dict.fromkeys(_needles_in(block), -1)

    def after(self, position: int) -> int:
        """Offset of the first token at or after `position`, or the block's length."""
        for needle, known in self._next.items():
            if known < position:
                found = self._block.find(needle, position)
                self._next[needle] = found if found >= 0 else len(self._block)
        return min(self._next.values(), default=len(self._block))
