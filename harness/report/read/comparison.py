"""View of comparison.json for the page; `harness.compare.record` writes the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.results.files import DamagedResult, read_json

COMPARISON = "comparison.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The share of runs still without a hang from `time` on; 95 % interval from `low` to `high`."""

    time: float
    share: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One side as the page shows it; `ended` are the times (seconds of load) of runs that ended without a hang."""

    key: str
    name: str
    runs: int
    hits: int
    interval: tuple[float, float]
    verdicts: Mapping[str, int]
    median: float | None
    longest: float | None
    hits_after: tuple[float, ...]
    ended: tuple[float, ...]
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The result of a comparison, in the words of `harness.compare`."""

    case: str
    sentence: str
    notes: tuple[str, ...]
    sides: tuple[Side, ...]


def read_comparison(run: Path) -> Comparison | None:
    """The comparison in a run's folder; None for a plain run or without a result. Raises DamagedResult."""
    path = run / COMPARISON
    try:
        record = read_json(path)
        result = record["result"]
        return None if result is None else _comparison(record["question"], result)
    except FileNotFoundError:
        return None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedResult(path=path, problem=f"not a comparison ({error!r})") from error


def _comparison(question: Mapping[str, Any], result: Mapping[str, Any]) -> Comparison:
    return Comparison(
        case=str(question["case"]),
        sentence=str(result["sentence"]),
        notes=tuple(str(note) for note in result["notes"]),
        sides=tuple(_side(side) for side in result["sides"]),
    )


def _side(side: Mapping[str, Any]) -> Side:
    low, high = side["interval"]
    return Side(
        key=str(side["side"]),
        name=str(side["name"]),
        runs=int(side["runs"]),
        hits=int(side["hits"]),
        interval=(float(low), float(high)),
        verdicts={str(kind): int(count) for kind, count in side["verdicts"].items()},
        median=_seconds(side["median_s"]),
        longest=_seconds(side["longest_s"]),
        hits_after=tuple(float(time) for time in side["hit_after_s"]),
        ended=tuple(float(time) for time in side["ended_after_s"]),
        steps=tuple(Step(**{name: float(value) for name, value in step.items()}) for step in side["curve"]),
    )


def _seconds(value: Any) -> float | None:
    return None if value is None else float(value)
