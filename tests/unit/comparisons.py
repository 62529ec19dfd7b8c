"""Comparisons in a line each, for tests: what each run of either side came to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.compare.outcomes import Outcome
from harness.compare.question import Question
from harness.compare.result import Comparison, compare
from harness.model.verdict import HANGS, VerdictKind

KINDS = {
    "D": VerdictKind.DEADLOCKED,
    "S": VerdictKind.STALLED,
    "C": VerdictKind.CRASHED,
    ".": VerdictKind.SURVIVED,
    "?": None,
    "-": None,  # still runs
}


def ask(a: str = "stock", b: str = "patch=./fix.patch", **changes: Any) -> Question:
    """A question about ten runs of each side, or until sure."""
    facts: dict[str, Any] = {
        "case": "test_swap.py::test_case",
        "counts": HANGS,
        "runs": 10,
        "until_sure": False,
        "gap": 0.3,
        "seed": 1,
    }
    return Question(names={"a": a, "b": b}, sides={"a": a, "b": b}, **{**facts, **changes})


def outcomes(
    a: str, b: str, question: Question, times_a: Sequence[float] = (), times_b: Sequence[float] = ()
) -> list[Outcome]:
    """A letter of KINDS for each run, in turns a and b; `times` are of the hits, in their order."""
    rows = [list(_row("a", a, question, times_a)), list(_row("b", b, question, times_b))]
    longest = max(len(row) for row in rows)
    return [row[place] for place in range(longest) for row in rows if place < len(row)]


def found(a: str, b: str, question: Question | None = None, **times: Sequence[float]) -> Comparison:
    """What the runs come to."""
    question = question or ask()
    return compare(question, outcomes(a, b, question, **times))


def _row(side: str, letters: str, question: Question, times: Sequence[float]) -> list[Outcome]:
    left = list(times)
    row = []
    for number, letter in enumerate(letters, 1):
        kind = KINDS[letter]
        hit = kind in question.counts
        after = (left.pop(0) if left else None) if hit else 120.0
        row.append(Outcome(side=side, number=number, kind=kind, is_open=letter == "-", hit=hit, after_s=after))
    return row
