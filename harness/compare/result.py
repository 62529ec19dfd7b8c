"""Outcomes → rates and times of each side, and whether the sides differ. Pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from harness.compare.outcomes import Outcome
from harness.compare.question import SIDES, Question
from harness.model.verdict import VerdictKind
from harness.statistics import exact, sequential
from harness.statistics.claims import Decision
from harness.statistics.intervals import rate_interval
from harness.statistics.sequential import Look
from harness.statistics.survival import Times, log_rank

SEQUENTIAL = "sequential test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One side: `hits` of `runs`, its rate between `low` and `high` (95 %), and the count of each verdict.

    `uncounted` are the verdicts that are neither hits nor survivors, `vain` the numbers of trials without a verdict
    about the kernel, `untimed` the number of runs without a known time.
    """

    key: str
    name: str
    runs: int
    hits: int
    low: float
    high: float
    verdicts: Mapping[str, int]
    uncounted: Mapping[str, int]
    vain: tuple[int, ...]
    times: Times
    untimed: int

    @property
    def rate(self) -> float:
        """Hits per run; 0 without runs."""
        return self.hits / self.runs if self.runs else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Both sides together. `p` of equal rates (None without a run) by `test`, `p_times` of equal times.

    `look` is set with `until_sure`, and then decides. `repeated` are trials that were run again.
    """

    question: Question
    a: Side
    b: Side
    test: str
    p: float | None
    p_times: float | None
    look: Look | None
    repeated: tuple[str, ...] = ()

    @property
    def sides(self) -> tuple[Side, Side]:
        """Both."""
        return self.a, self.b

    @property
    def decision(self) -> Decision:
        """The conclusion about the rates."""
        if self.look is not None:
            return self.look.decision
        return Decision.DIFFERENT if self.p is not None and self.p < exact.SIGNIFICANT else Decision.OPEN


def compare(question: Question, outcomes: Sequence[Outcome], repeated: Sequence[str] = ()) -> Comparison:
    """The result of the outcomes so far, given in the order in which their trials began.

    `repeated` are trials without a verdict about the kernel that were run again.
    """
    a, b = (_side(question, key, [outcome for outcome in outcomes if outcome.side == key]) for key in SIDES)
    look = _look(question, outcomes) if question.until_sure else None
    if look is not None:
        test, p = SEQUENTIAL, look.p if look.pairs else None
    else:
        test, p = exact.NAME, exact.difference(a.hits, a.runs, b.hits, b.runs)
    return Comparison(
        question=question,
        a=a,
        b=b,
        test=test,
        p=p,
        p_times=log_rank(a.times, b.times),
        look=look,
        repeated=tuple(repeated),
    )


def _look(question: Question, outcomes: Sequence[Outcome]) -> Look:
    """Pair the nth verdict of one side with the nth of the other, up to the first trial that still runs.

    The order is that in which trials began. In the order in which they end, quick outcomes would come first, and bias a
    test that may stop at any time.
    """
    rows: dict[str, list[bool]] = {side: [] for side in SIDES}
    for outcome in takewhile(lambda outcome: not outcome.is_open, outcomes):
        if outcome.is_evidence:
            rows[outcome.side].append(outcome.hit)
    pairs = min(len(row) for row in rows.values())
    hits_a, hits_b = (rows[side][:pairs] for side in SIDES)
    return sequential.look(hits_a, hits_b, gap=question.gap)


def _side(question: Question, key: str, outcomes: Sequence[Outcome]) -> Side:
    evidence = [outcome for outcome in outcomes if outcome.is_evidence]
    verdicts = dict(Counter(outcome.kind.value for outcome in evidence if outcome.kind).most_common())
    hits = sum(outcome.hit for outcome in evidence)
    interval = sequential.running_interval if question.until_sure else rate_interval
    low, high = interval(hits, len(evidence))
    return Side(
        key=key,
        name=question.names[key],
        runs=len(evidence),
        hits=hits,
        low=low,
        high=high,
        verdicts=verdicts,
        uncounted={kind: verdicts[kind] for kind in verdicts if kind not in (*question.counts, VerdictKind.SURVIVED)},
        vain=tuple(outcome.number for outcome in outcomes if not (outcome.is_evidence or outcome.is_open)),
        times=Times(hits=_times(evidence, hit=True), censored=_times(evidence, hit=False)),
        untimed=sum(outcome.after_s is None for outcome in evidence),
    )


def _times(evidence: Sequence[Outcome], *, hit: bool) -> tuple[float, ...]:
    return tuple(sorted(o.after_s for o in evidence if o.hit is hit and o.after_s is not None))
