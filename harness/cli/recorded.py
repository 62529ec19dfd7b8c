"""Recorded verdicts and diagnoses of a trial, compared with those computed again from its files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple

from harness.model.diagnosis import Diagnosis
from harness.model.errors import UsageError
from harness.model.history import Event
from harness.model.verdict import Stall, Verdict
from harness.results.store import TrialStore

# Fields of a verdict that are facts, not wording.
COMPARED = ("kind", "onset_s", "certain_s", "blocked", "alive", "stalls")
ROUNDING_S = 0.001  # times in a history have four decimal places
SAME_DIAGNOSIS = "the same"


def recorded_verdict(trial: TrialStore) -> Verdict | None:
    """The verdict on record, None if there is none; raises UsageError if it is damaged."""
    record = trial.read_verdict()
    try:
        return None if record is None else Verdict.from_dict(record)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{trial.verdict_path}: not a verdict ({error})") from error


def diagnose(trial: TrialStore, events: Sequence[Event]) -> Diagnosis | None:
    """The diagnosis computed now from the trial's files."""
    from harness.diagnosis import diagnose_trial

    return diagnose_trial(events, trial.texts())


def compare_verdicts(recorded: Verdict | None, again: Verdict) -> str:
    """ "yes", or "no" and the fields that differ."""
    if recorded is None:
        return "no: nothing is recorded"
    names = [name for name in COMPARED if not _equal(getattr(recorded, name), getattr(again, name))]
    return "yes" if not names else f"no: {', '.join(names)} differ"


def compare_diagnoses(recorded: Diagnosis | None, again: Diagnosis | None) -> str:
    """SAME_DIAGNOSIS, or the fields that differ; wording is ignored."""
    one, other = _substance(recorded), _substance(again)
    names = [name for name in {**one, **other} if one.get(name) != other.get(name)]
    return SAME_DIAGNOSIS if not names else f"now {other.get('class', 'none')}: {', '.join(names)} differ"


def _substance(diagnosis: Diagnosis | None) -> dict[str, object]:
    if diagnosis is None:
        return {}
    return {
        "class": diagnosis.hang_class.value,
        "confidence": diagnosis.confidence,
        "nodes": {(node.name, node.kind, node.count) for node in diagnosis.nodes},
        "edges": {(edge.waiter, edge.awaited, edge.sure) for edge in diagnosis.edges},
        "cycle": diagnosis.cycle,
    }


def _equal(one: object, other: object) -> bool:
    if isinstance(one, float | int) and isinstance(other, float | int):
        return abs(one - other) <= ROUNDING_S
    if isinstance(one, Stall) and isinstance(other, Stall):
        return _equal(astuple(one), astuple(other))
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    return one == other
