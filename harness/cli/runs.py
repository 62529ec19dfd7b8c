"""`harness verdict` and `harness report`: verdicts and the report, made again from a run's files alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import click
from rich.table import Table
from rich.text import Text

from harness.cli.find import find_run
from harness.cli.options import harness_options
from harness.cli.recorded import SAME_DIAGNOSIS, compare_diagnoses, compare_verdicts, diagnose, recorded_verdict
from harness.cli.terminal import wide
from harness.model.errors import HarnessError
from harness.model.history import Event
from harness.results.store import TrialStore
from harness.results.text import plain_line

SAME, DIFFERENT = 0, 1
NOT_RECORDED = "not recorded"


@click.command()
@click.argument("run", required=False)
@harness_options("results")
def verdict(run: str | None, results: str | None) -> int:
    """Judge and diagnose the trials of RUN again from their files, and compare with what is recorded.

    RUN is a run's folder, or its name in the results folder (default: the newest). Exit code 1 if any differs.
    """
    rows = [_compare(trial) for trial in find_run(run, results).trials()]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("recorded", "recomputed", "same", "diagnosis"):
        table.add_column(heading, overflow="fold")
    table.add_column("trial", no_wrap=True)  # so that it can be copied
    for row in rows:
        table.add_row(*(Text(plain_line(cell)) for cell in row.cells))
    wide().print(table)
    return SAME if all(row.same for row in rows) else DIFFERENT


@click.command()
@click.argument("run", required=False)
@harness_options("results")
def report(run: str | None, results: str | None) -> None:
    """Write report.html of RUN again and print its path.

    RUN is a run's folder, or its name in the results folder (default: the newest).
    """
    from harness.report import write_report

    click.echo(str(write_report(find_run(run, results).path)))


@dataclass(frozen=True, slots=True)
class _Row:
    cells: tuple[str, ...]
    same: bool


def _compare(trial: TrialStore) -> _Row:
    from harness.verdicts.judge import judge

    try:
        recorded, events = recorded_verdict(trial), trial.read_history()
        diagnosis = _compare_diagnosis(trial, events)
    except HarnessError as error:
        return _Row(("damaged", "-", f"no: {error}", "-", trial.name), same=False)
    again = judge(events)
    word = "none" if recorded is None else recorded.kind.value
    agreed = compare_verdicts(recorded, again)
    cells = (word, again.kind.value, agreed, diagnosis, trial.name)
    return _Row(cells, same=agreed == "yes" and diagnosis in (SAME_DIAGNOSIS, NOT_RECORDED))


def _compare_diagnosis(trial: TrialStore, events: Sequence[Event]) -> str:
    """Whether the diagnosis computed now is the recorded one; runs older than diagnoses have none."""
    if not trial.diagnosis_path.is_file():
        return NOT_RECORDED
    return compare_diagnoses(trial.read_diagnosis(), diagnose(trial, events))
