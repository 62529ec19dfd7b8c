"""The question of a comparison; it is stored in the run's folder, so that the run can be resumed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from random import Random
from typing import Any

from harness.model.errors import UsageError
from harness.model.verdict import HANGS, REPRODUCIBLE, VerdictKind

A, B = SIDES = ("a", "b")
HANG = "hang"  # the word for all kinds of HANGS

Trial = tuple[str, int]  # side, and its number on that side, from 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Whether `case` (a node id) ends in one of the kinds `counts` as often on side a as on side b.

    `names` are the sides as the user wrote them, `sides` the same with absolute paths. `runs` is the number of runs of
    each side; with `until_sure` the limit, and `gap` is then the least difference of rates worth knowing. `seed` is of
    the order.
    """

    case: str
    names: Mapping[str, str]
    sides: Mapping[str, str]
    counts: frozenset[VerdictKind]
    runs: int
    until_sure: bool
    gap: float
    seed: int

    def plan(self) -> list[Trial]:
        """The trials in their order: pairs of one run of each side, in random order within the pair.

        So drift on this machine while they run (its load, its temperature) affects both sides.
        """
        random = Random(self.seed)
        return [(side, number) for number in range(1, self.runs + 1) for side in random.sample(SIDES, 2)]

    def to_dict(self) -> dict[str, Any]:
        """The question as plain JSON values."""
        return {**asdict(self), "counts": sorted(kind.value for kind in self.counts)}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Question:
        """The question that `to_dict` wrote; raises KeyError, TypeError or ValueError on anything else."""
        return cls(**{**record, "counts": frozenset(VerdictKind(kind) for kind in record["counts"])})


def parse_counts(text: str, place: str) -> frozenset[VerdictKind]:
    """The kinds of verdict that words such as "hang,crash" mean; raises UsageError that begins with `place`."""
    kinds: set[VerdictKind] = set()
    for word in text.split(","):
        if word != HANG and word not in REPRODUCIBLE:
            known = ", ".join([HANG, *REPRODUCIBLE])
            raise UsageError(f"{place}: '{word}' is none of {known}; separate several by commas")
        kinds |= HANGS if word == HANG else {REPRODUCIBLE[word]}
    return frozenset(kinds)
