"""comparison.json: question and result of a comparison, as the report reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from harness.compare.question import Question
from harness.compare.result import Comparison, Side
from harness.compare.words import notes, sentence
from harness.model.errors import UsageError
from harness.report.read.comparison import COMPARISON
from harness.results.files import DamagedResult, read_json, write_json
from harness.results.store import RunStore
from harness.statistics.claims import ALPHA, BETA
from harness.statistics.survival import curve


def write_question(store: RunStore, question: Question, repeated: Sequence[str] = ()) -> None:
    """Replace comparison.json by a question without an answer; raises HostEnvironmentError."""
    _write(store, question, repeated, None)


def read_question(store: RunStore) -> tuple[Question, tuple[str, ...]]:
    """The question of a run, and the trials that were run again; raises UsageError if the run is no comparison."""
    path = store.path / COMPARISON
    try:
        record = read_json(path)
        return Question.from_dict(record["question"]), tuple(str(trial) for trial in record["repeated"])
    except FileNotFoundError as error:
        raise UsageError(f"{store.path}: not a run of `harness compare`") from error
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedResult(path=path, problem=f"not a comparison ({error!r})") from error


def write_result(store: RunStore, found: Comparison) -> None:
    """Replace comparison.json; raises HostEnvironmentError."""
    _write(store, found.question, found.repeated, to_dict(found))


def _write(store: RunStore, question: Question, repeated: Sequence[str], result: dict[str, Any] | None) -> None:
    record = {"question": question.to_dict(), "repeated": list(repeated), "result": result}
    write_json(store.path / COMPARISON, record)


def to_dict(found: Comparison) -> dict[str, Any]:
    """The result as plain JSON values; rates are shares, times seconds of load."""
    look = found.look
    return {
        "sentence": sentence(found),
        "decision": found.decision.value,
        "rates": {"test": found.test, "p": found.p},
        "times": {"test": "log-rank test", "p": found.p_times},
        "sequential": None
        if look is None
        else {**asdict(look), "alpha": ALPHA, "beta": BETA, "gap": found.question.gap},
        "sides": [_side(side) for side in found.sides],
        "notes": notes(found),
    }


def _side(side: Side) -> dict[str, Any]:
    return {
        "side": side.key,
        "name": side.name,
        "runs": side.runs,
        "hits": side.hits,
        "rate": side.rate,
        "interval": [side.low, side.high],
        "verdicts": dict(side.verdicts),
        "without_verdict": list(side.vain),
        "median_s": side.times.median,
        "longest_s": side.times.longest,
        "hit_after_s": list(side.times.hits),
        "ended_after_s": list(side.times.censored),
        "curve": [asdict(step) for step in curve(side.times)],
    }
