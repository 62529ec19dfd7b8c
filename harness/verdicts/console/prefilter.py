"""Where in a block of console bytes a line of interest may be: the cheap look before any line is split.

Nearly every block of a console holds none. So a block is first reduced to a few rare letters, in one quick pass, and
the little that is left is searched for what each literal reduces to; literals that leave too little are searched for in
the block itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from harness.verdicts.console.boot import BANNERS
from harness.verdicts.console.patterns import TOKENS

__all__ = ["Hits", "Needles", "may_match"]

_SIEVES = tuple(
    (bytes(code for code in range(256) if code not in rare), least)
    for rare, least in (
        (b"ABCDEFGHIJKLMNOPQRSTUVWXYZ#+:bkmpvy", 2),
        (b"/[]abfklmprstw", 3),
    )
)
"""What to leave out of a block, and how many letters a literal must keep for them to tell it."""
_MARKS = b"#+"
"""Characters so rare that one alone tells a literal."""


class Needles:
    """Literals to look for, and one pattern for what has none; no match of either may hold the end of a line."""

    def __init__(self, literals: Iterable[bytes], pattern: re.Pattern[bytes] | None = None) -> None:
        self._pattern = pattern
        self._whole: list[bytes] = []
        self._sieves: list[tuple[bytes, dict[bytes, list[bytes]]]] = [(common, {}) for common, _ in _SIEVES]
        for literal in dict.fromkeys(literals):
            self._sort_in(literal)

    def _sort_in(self, literal: bytes) -> None:
        reported = [_reported(literal, common, least) for common, least in _SIEVES]
        best = max(range(len(reported)), key=reported.__getitem__)
        if reported[best] < 0:
            self._whole.append(literal)
            return
        common, rests = self._sieves[best]
        rests.setdefault(literal.translate(None, common), []).append(literal)

    def found_in(self, part: bytes) -> list[bytes]:
        """The literals that a line or block holds."""
        found = [literal for literal in self._whole if literal in part]
        for common, rests in self._sieves:
            left = part.translate(None, common)
            for rest, literals in rests.items():
                if rest in left:
                    found += [literal for literal in literals if literal in part]
        return found

    def finders(self, block: bytes) -> Iterator[Callable[[int], int]]:
        """One search of the block for each thing that it holds: from an offset, to the offset of the next or -1."""
        for literal in self.found_in(block):
            yield partial(block.find, literal)
        if self._pattern is not None:
            yield partial(_search, self._pattern, block)


def _reported(literal: bytes, common: bytes, least: int) -> int:
    """How well the letters that a sieve leaves of a literal tell it; below 0 they do not."""
    rest = literal.translate(None, common)
    return len(literal) if any(mark in rest for mark in _MARKS) else len(rest) - least


def _search(pattern: re.Pattern[bytes], block: bytes, position: int) -> int:
    found = pattern.search(block, position)
    return found.start() if found else -1


_HEADLINES = Needles(token.encode() for token in (*TOKENS, *BANNERS))


def may_match(line: bytes) -> bool:
    """Whether a line holds a token, so that it may be a headline."""
    return bool(_HEADLINES.found_in(line))


class Hits:
    """The places of needles in one block, asked for in rising order; without others, those of headlines."""

    def __init__(self, block: bytes, needles: Needles = _HEADLINES) -> None:
        self._end = len(block)
        self._next = dict.fromkeys(needles.finders(block), -1)

    def after(self, position: int) -> int:
        """Offset of the first needle at or after `position`, or the block's length."""
        for find, known in self._next.items():
            if known < position:
                found = find(position)
                self._next[find] = found if found >= 0 else self._end
        return min(self._next.values(), default=self._end)
