"""Outcomes of a comparison's trials, read from the files of its run."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from harness.compare.question import SIDES, Question
from harness.model.verdict import HANGS, VerdictKind
from harness.results.files import DamagedResult
from harness.results.store import ABOUT_THE_KERNEL, RunStore, TrialStore

TO_HANG, RAN = "time to hang", "load ran"  # figures of a trial, in seconds from the load's beginning


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A trial that began. `kind` is None if it has no verdict about the kernel; `is_open` if it still runs.

    `hit`: the comparison counts it. `after_s`: seconds of load until the hit, or until the load ended without one; None
    if not measured.
    """

    side: str
    number: int
    kind: VerdictKind | None
    is_open: bool = False
    hit: bool = False
    after_s: float | None = None

    @property
    def is_evidence(self) -> bool:
        """Whether it has a verdict about the kernel."""
        return self.kind is not None


def read_outcomes(store: RunStore, question: Question, over: Collection[str] | None = None) -> list[Outcome]:
    """The trials of both sides in the order in which they began.

    A trial without a verdict has ended if its folder is in `over`, else it still runs; None: all have ended.
    """
    trials = [trial for trial in store.trials() if trial.side in SIDES]
    return [_outcome(trial, question.counts, over is None or trial.slug in over) for trial in trials]


def _outcome(trial: TrialStore, counts: Collection[VerdictKind], is_over: bool) -> Outcome:
    try:
        record = trial.read_verdict()
        kind = None if record is None else VerdictKind(record["verdict"])
        seconds = {measure.name: measure.value for measure in trial.read_measures() if measure.unit == "s"}
    except (DamagedResult, KeyError, ValueError):
        return Outcome(side=trial.side, number=trial.number, kind=None)
    if kind not in ABOUT_THE_KERNEL:
        is_open = record is None and not is_over
        return Outcome(side=trial.side, number=trial.number, kind=None, is_open=is_open)
    hit = kind in counts
    after = seconds.get(TO_HANG if hit and kind in HANGS else RAN)
    return Outcome(
        side=trial.side,
        number=trial.number,
        kind=kind,
        hit=hit,
        after_s=float(after) if isinstance(after, int | float) else None,
    )
