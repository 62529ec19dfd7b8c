"""The table of verdicts at the end of a run, read back from its folder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.model.errors import HarnessError
from harness.results.text import plain_line

if TYPE_CHECKING:
    from harness.results.store import TrialStore

HEADINGS = ("verdict", "expected", "as expected", "certain after", "wall time", "trial")
UNKNOWN = "-"


def table(trials: Sequence[TrialStore]) -> list[str]:
    """One line for each trial under a line of headings; the trial's name comes last, so that nothing wraps.

    "certain after" is the time from the last progress before the hang until the harness is sure of it.
    """
    records = [_record(trial) for trial in trials]
    rows = [HEADINGS, *(_row(trial, record) for trial, record in zip(trials, records, strict=True))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS) - 1)]
    return [*(_line(row, widths) for row in rows), _total(records)]


def _total(records: Sequence[dict[str, Any] | None]) -> str:
    """The line with the sum of their durations."""
    times = [record["wall_s"] for record in records if record and record.get("wall_s")]
    return f"{len(records)} trials, {sum(times) / 60:.1f} minutes of trials"


def _record(trial: TrialStore) -> dict[str, Any] | None:
    """The content of the verdict's file: None without one, empty if it is damaged."""
    try:
        return trial.read_verdict()
    except HarnessError:
        return {}


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
    return "  ".join([*cells, row[-1]])


def _row(trial: TrialStore, record: dict[str, Any] | None) -> tuple[str, ...]:
    if not record:
        word = "none" if record is None else "damaged"
        return (word, trial.expected, "no", UNKNOWN, UNKNOWN, plain_line(trial.name))
    return (
        plain_line(str(record.get("verdict", UNKNOWN))),
        plain_line(str(record.get("expected", trial.expected))),
        "yes" if record.get("as_expected") else "no",
        _seconds(_difference(record, "onset_s", "certain_s")),
        _seconds(record.get("wall_s")),
        plain_line(trial.name),
    )


def _difference(record: dict[str, Any], begin: str, end: str) -> float | None:
    first, last = record.get(begin), record.get(end)
    return last - first if isinstance(first, int | float) and isinstance(last, int | float) else None


def _seconds(value: object) -> str:
    return f"{value:.1f} s" if isinstance(value, int | float) else UNKNOWN
