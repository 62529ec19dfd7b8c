"""Orders of a bisection's sides: which sides a culprit makes bad.

A hypothesis is "side c is the first bad one", so there are as many hypotheses as sides. Side 0 is the good end; if it
is the first bad one, it is not good after all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Numbers = NDArray[np.int64]
_BLOCK = 1024  # rows of the reachability matrix unpacked at a time


class Order(Protocol):
    """Which hypotheses make which side bad."""

    @property
    def size(self) -> int:
        """The number of sides, and of hypotheses."""

    def sums(self, weights: Floats) -> Floats:
        """For each side the sum of the rows of `weights` whose hypotheses make this side bad; one row a hypothesis."""

    def affected(self, side: int) -> Flags:
        """Which hypotheses make `side` bad."""

    def classes(self, testable: Flags) -> Numbers:
        """A number for each hypothesis, equal for hypotheses that no testable side tells apart."""


class Chain:
    """A linear order: every side after a bad one is bad."""

    def __init__(self, size: int) -> None:
        self._size = size

    @property
    def size(self) -> int:
        """See `Order.size`."""
        return self._size

    def sums(self, weights: Floats) -> Floats:
        """See `Order.sums`."""
        summed: Floats = np.cumsum(weights, axis=0)
        return summed

    def affected(self, side: int) -> Flags:
        """See `Order.affected`."""
        return np.arange(self._size) <= side

    def classes(self, testable: Flags) -> Numbers:
        """See `Order.classes`."""
        before: Numbers = np.concatenate(([0], np.cumsum(testable[:-1]))).astype(np.int64)
        return before


class Graph:
    """Commits with merges: a commit is bad if it or one of its ancestors is the culprit.

    `parents` has for each commit the indices of its parents, all smaller than its own. The good end, commit 0, counts
    as an ancestor of all: side branches that began before it are good if it is good.
    """

    def __init__(self, parents: Sequence[Sequence[int]]) -> None:
        self._size = len(parents)
        self._rows: NDArray[np.uint8] = np.zeros((self._size, (self._size + 7) // 8), dtype=np.uint8)
        for index, above in enumerate(parents):
            for parent in (0, *above):
                self._rows[index] |= self._rows[parent]
            self._rows[index, index // 8] |= 0x80 >> index % 8

    @property
    def size(self) -> int:
        """See `Order.size`."""
        return self._size

    def sums(self, weights: Floats) -> Floats:
        """See `Order.sums`."""
        return np.concatenate([flags.astype(np.float64) @ weights for flags in self._unpacked()])

    def affected(self, side: int) -> Flags:
        """See `Order.affected`."""
        flags: Flags = np.unpackbits(self._rows[side], count=self._size).astype(np.bool_)
        return flags

    def classes(self, testable: Flags) -> Numbers:
        """See `Order.classes`."""
        numbers: Numbers = np.arange(self._size)
        known: dict[bytes, int] = {}
        # Of two testable commits, one is not an ancestor of the other; that one's own test tells them apart.
        for hypothesis in np.flatnonzero(~testable):
            sides = self._column(int(hypothesis)) & testable
            key = np.packbits(sides).tobytes()
            if key not in known:
                first = int(sides.argmax())  # only this testable commit can be equivalent: a commit makes itself bad
                alike = sides.any() and (sides == (self._column(first) & testable)).all()
                known[key] = first if alike else int(hypothesis)
            numbers[hypothesis] = known[key]
        return numbers

    def _column(self, hypothesis: int) -> Flags:
        """The sides that `hypothesis` makes bad."""
        bits: Flags = (self._rows[:, hypothesis // 8] & (0x80 >> hypothesis % 8)) != 0
        return bits

    def _unpacked(self) -> Iterator[NDArray[np.uint8]]:
        for start in range(0, self._size, _BLOCK):
            yield np.unpackbits(self._rows[start : start + _BLOCK], axis=1, count=self._size)
