"""Scoring of histories: how right, fast and exact the verdicts were. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.model.errors import UsageError
from harness.model.events import TrialFacts
from harness.model.history import Event, select
from harness.model.verdict import HANGS, Verdict, VerdictKind
from harness.selftest.truth import Group, Span, Truth, fault_span, first_completion
from harness.verdicts.judge import judge
from harness.verdicts.policy import Policy

ERROR = "ERROR"
STRAY_S = 15.0  # on a fast host: an onset further from the fault belongs to something else


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The result of one trial compared with its truth.

    `outcome` is the verdict's kind, or ERROR if there was no trial to judge; times are in seconds. `factor` is the
    policy's stretch for a host that is `slowdown` times slower than this machine. Errors are the verdict's value minus
    the true one, None if either is missing.
    """

    trial: str
    truth: Truth
    outcome: str
    summary: str
    right: bool
    slowdown: float | None = None
    factor: float = 1.0
    latency_s: float | None = None
    onset_error_s: float | None = None
    duration_error_s: float | None = None
    stalls: int = 0

    @property
    def false_hang(self) -> bool:
        """Whether the verdict is a hang although the load was alive."""
        return self.truth.group is Group.LIVE and self.outcome in HANGS


def kind_of(trial: str) -> str:
    """The kind in the name of a trial, which is `<kind>/<number>`."""
    return trial.rpartition("/")[0]


def score(
    histories: Iterable[tuple[str, Sequence[Event]]], errors: Mapping[str, str], truths: Mapping[str, Truth]
) -> list[Row]:
    """One row for each trial: `histories` by name of the trial, `errors` of trials that raised in place of a verdict.

    Raises UsageError for a kind that is not among `truths`.
    """
    rows = {trial: score_trial(trial, _truth(trial, truths), events) for trial, events in histories}
    rows |= {trial: _error(trial, _truth(trial, truths), why, ()) for trial, why in errors.items()}
    return list(rows.values())


def _truth(trial: str, truths: Mapping[str, Truth]) -> Truth:
    if (truth := truths.get(kind_of(trial))) is None:
        raise UsageError(f"'{trial}' is no trial of a kind that this version knows; `harness selftest --list` has them")
    return truth


def score_trial(trial: str, truth: Truth, events: Sequence[Event]) -> Row:
    """The row of one trial; its verdict is recomputed."""
    injected, healed = fault_span(events, "inject"), fault_span(events, "heal")
    if truth.faulty and injected is None:
        return _error(trial, truth, "the fault was never injected", events)
    if truth.heals and healed is None:
        return _error(trial, truth, "the fault was never healed", events)
    verdict = judge(events)
    first, policy = _policies(events)
    # Counted from the beginning of the injection: the uncertain instant must not be to the watch's advantage.
    onset = injected.begin_s if truth.faulty and injected is not None else verdict.onset_s
    error = _onset_error(verdict, injected) if truth.faulty else None
    factor = policy.silent_s / first.silent_s
    stray = _stray(verdict, onset, error, STRAY_S * factor if truth.within_s else None)
    right = verdict.kind in truth.accepted and not stray
    return Row(
        trial=trial,
        truth=truth,
        outcome=verdict.kind.value,
        summary=f"{stray}{verdict.summary}",
        right=right,
        slowdown=_slowdown(events),
        factor=factor,
        latency_s=_latency(verdict, onset, policy) if right else None,
        onset_error_s=error if right else None,
        duration_error_s=_duration_error(verdict, events, injected, healed) if right and truth.heals else None,
        stalls=len(verdict.stalls),
    )


def _stray(verdict: Verdict, onset: float | None, error: float | None, limit_s: float | None) -> str:
    """A remark if the verdict is about something other than the fault; else empty."""
    if onset is not None and verdict.certain_s is not None and verdict.certain_s < onset:
        return "sure of it before the fault: "
    if error is not None and limit_s is not None and abs(error) > limit_s:
        return f"something else, {error:+.0f} s from the fault: "
    return ""


def _error(trial: str, truth: Truth, why: str, events: Sequence[Event]) -> Row:
    return Row(trial=trial, truth=truth, outcome=ERROR, summary=why, right=False, slowdown=_slowdown(events))


def _policies(events: Sequence[Event]) -> tuple[Policy, Policy]:
    """The original policy, and the one scaled by the host's slowdown."""
    policies = [Policy.from_dict(facts.policy) for _, facts in select(events, TrialFacts)]
    return (policies[0], policies[-1]) if policies else (Policy(), Policy())


def _slowdown(events: Sequence[Event]) -> float | None:
    found = [facts.slowdown for _, facts in select(events, TrialFacts) if facts.slowdown is not None]
    return found[-1] if found else None


def _latency(verdict: Verdict, onset: float | None, policy: Policy) -> float | None:
    """Seconds from the onset to certainty; if a protocol may wait, from the end of its bound."""
    if verdict.kind is VerdictKind.SURVIVED or onset is None or verdict.certain_s is None:
        return None
    return verdict.certain_s - onset - policy.bound_s


def _onset_error(verdict: Verdict, injected: Span | None) -> float | None:
    return None if injected is None or verdict.onset_s is None else injected.distance(verdict.onset_s)


def _duration_error(
    verdict: Verdict, events: Sequence[Event], injected: Span | None, healed: Span | None
) -> float | None:
    """The error against the time from the fault to the first request that the healed storage completes."""
    end = None if healed is None else first_completion(events, healed.begin_s)
    if injected is None or end is None or not verdict.stalls:
        return None
    return verdict.stalls[0].duration_s - (end - injected.end_s)
