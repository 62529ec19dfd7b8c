"""`harness verdict` and `harness report`: what can be made again from a run's files alone."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.cli.options import harness_options, resolve_options
from harness.model.errors import HarnessError, UsageError
from harness.model.verdict import Stall, Verdict
from harness.results.store import RunStore, TrialStore
from harness.results.text import plain_line

SAME, DIFFERENT = 0, 1
# What a verdict says, without the words in which it says it.
COMPARED = ("kind", "onset_s", "certain_s", "blocked", "alive", "stalls")
ROUNDING_S = 0.001  # times in a history have four decimal places


@click.command()
@click.argument("run", required=False)
@harness_options("results")
def verdict(run: str | None, results: str | None) -> int:
    """Judge the trials of RUN again from their histories, and compare with what is recorded.

    RUN is a run's folder, or its name in the results folder (default: the newest). Exit code 1 if any differs.
    """
    rows = [_compare(trial) for trial in _find(run, results).trials()]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("recorded", "recomputed", "same", "trial"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(Text(plain_line(cell)) for cell in row))
    Console().print(table)
    return SAME if all(row[2] == "yes" for row in rows) else DIFFERENT


@click.command()
@click.argument("run", required=False)
@harness_options("results")
def report(run: str | None, results: str | None) -> None:
    """Write report.html of RUN again and print its path.

    RUN is a run's folder, or its name in the results folder (default: the newest).
    """
    from harness.results.report import write_report

    click.echo(str(write_report(_find(run, results).path)))


def _find(run: str | None, results: str | None) -> RunStore:
    if run is not None and Path(run).is_dir():
        return RunStore.open(Path(run))
    root = resolve_options({"results": results}).settings.results
    known = RunStore.runs(root)
    if not known:
        raise UsageError(f"{root}: no runs there; name a run's folder, or the results folder with --results")
    if run is None:
        return known[-1]
    if not (root / run).is_dir():
        raise UsageError(f"no run '{run}' in {root}; the newest there is {known[-1].name}")
    return RunStore.open(root / run)


def _compare(trial: TrialStore) -> tuple[str, str, str, str]:
    from harness.verdicts.judge import judge

    try:
        recorded, events = _recorded(trial), trial.read_history()
    except HarnessError as error:
        return ("damaged", "-", f"no: {error}", trial.name)
    again = judge(events)
    shown = "none" if recorded is None else recorded.kind.value
    return (shown, again.kind.value, _sameness(recorded, again), trial.name)


def _recorded(trial: TrialStore) -> Verdict | None:
    record = trial.read_verdict()
    try:
        return None if record is None else Verdict.from_dict(record)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{trial.verdict_path}: not a verdict ({error})") from error


def _sameness(recorded: Verdict | None, again: Verdict) -> str:
    if recorded is None:
        return "no: nothing is recorded"
    names = [name for name in COMPARED if not _equal(getattr(recorded, name), getattr(again, name))]
    return "yes" if not names else f"no: {', '.join(names)} differ"


def _equal(one: object, other: object) -> bool:
    if isinstance(one, float | int) and isinstance(other, float | int):
        return abs(one - other) <= ROUNDING_S
    if isinstance(one, Stall) and isinstance(other, Stall):
        return _equal(astuple(one), astuple(other))
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    return one == other
