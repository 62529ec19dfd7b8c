"""`harness explain`: what happened in a trial and why, in the terminal."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.cli.diagnosis_view import printable, render
from harness.cli.find import find_trials
from harness.cli.options import harness_options
from harness.cli.recorded import diagnose, recorded_verdict
from harness.cli.terminal import Terminal
from harness.model.diagnosis import Diagnosis
from harness.model.verdict import VerdictKind
from harness.report.read.hardware import known_bad
from harness.report.read.narrative import timeline
from harness.report.read.words import MEANINGS, NO_VERDICT, instant, tone
from harness.results.store import RunStore, TrialStore

COMMANDS = 3
_COLOURS = {"good": "bold green", "bad": "bold red", "unknown": "bold yellow"}
# The most telling first.
_TELLING = ("sysrq-w", "nmi", "sysrq-l", "sysrq-t", "workload-log", "registers")


@click.command()
@click.argument("trial", required=False, metavar="[RUN[/TRIAL]]")
@harness_options("results")
def explain(trial: str | None, results: str | None) -> None:
    """Explain the trials of RUN: verdict, timeline in words, diagnosis, and where to look further.

    RUN is a run's folder, or its name in the results folder (default: the newest). Without TRIAL: all trials that did
    not survive.
    """
    run, named = find_trials(trial, results)
    out = _Out()
    trials = [named] if named is not None else run.trials()
    shown = [each for each in trials if each is named or not _survived(each)]
    for each in shown:
        _explain(run, each, out)
    if not shown:
        names = ", ".join(each.slug for each in trials)
        out.line(f"{run.name}: " + (f"every trial survived; name one of {names}" if trials else "no trials"))


class _Out:
    """The terminal; makes guest output safe for it and for its encoding."""

    def __init__(self) -> None:
        self.console = Terminal(highlight=False)

    def text(self, words: str, style: str = "") -> Text:
        return Text(printable(words, ascii_only=self.console.options.ascii_only), style=style)

    def line(self, words: str = "", style: str = "") -> None:
        self.console.print(self.text(words, style))

    def command(self, words: str) -> None:
        """Print a command without wrapping, so that it can be copied."""
        self.console.print(self.text(f"  {words}"), soft_wrap=True)


def _survived(trial: TrialStore) -> bool:
    verdict = recorded_verdict(trial)
    return verdict is not None and verdict.kind is VerdictKind.SURVIVED


def _explain(run: RunStore, trial: TrialStore, out: _Out) -> None:
    verdict = recorded_verdict(trial)
    events, damaged = trial.scan_history()
    kind = NO_VERDICT if verdict is None else verdict.kind.value
    out.line(trial.name, "bold underline")
    out.line(kind if verdict is None else f"{kind}: {verdict.summary}", _COLOURS[tone(kind)])
    out.line(MEANINGS[kind], "dim")
    for line in known_bad(events):
        out.line(f"known hardware: {line}", "yellow")
    out.line()
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(justify="right", no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for t, words in timeline(events, verdict):
        table.add_row(out.text(instant(t)), out.text(words))
    out.console.print(Padding(table, (0, 0, 1, 1)))
    if damaged:
        out.line(f"{trial.history_path}: damaged lines: {len(damaged)}, left out; the first is line {damaged[0]}")
    # Runs older than diagnoses have none recorded.
    diagnosis = trial.read_diagnosis() if trial.diagnosis_path.is_file() else diagnose(trial, events)
    if diagnosis is not None:
        out.console.print(render(diagnosis))
        out.line()
    out.line("to look further:", "bold")
    for command in commands(run, trial, diagnosis):
        out.command(command)
    out.line()


def commands(run: RunStore, trial: TrialStore, diagnosis: Diagnosis | None) -> list[str]:
    """Three commands that show more, the most telling first; each names existing files."""
    found = list(dict.fromkeys(_looks(trial, diagnosis)))[: COMMANDS - 1]
    closing = [
        f"{_harness()} report {_quoted(run.path)}",
        f"{_harness()} verdict {_quoted(run.path)}",
        f"less {_quoted(trial.history_path)}",
    ]
    return [*found, *closing][:COMMANDS]


def _looks(trial: TrialStore, diagnosis: Diagnosis | None) -> Iterator[str]:
    cited = diagnosis.evidence[0] if diagnosis is not None and diagnosis.evidence else None
    texts = [path for path in _files(trial.path / "evidence") if path.stat().st_size]
    consoles = [path for path in _files(trial.path / "consoles") if path.stat().st_size]
    if cited is not None and trial.path / cited.source in (*texts, *consoles):
        yield f"less +{cited.line} {_quoted(trial.path / cited.source)}"
    for path in sorted(consoles, key=lambda path: path != _console_of(cited.source if cited else "", consoles)):
        yield f"{_harness()} scan {_quoted(path)}"
        break
    for name in _TELLING:
        yield from (f"less {_quoted(path)}" for path in texts if path.name.endswith(f".{name}.txt"))


def _console_of(source: str, consoles: Sequence[Path]) -> Path | None:
    """The console of the host that `source`, a file of evidence, comes from."""
    name = Path(source).name
    return next((path for path in consoles if name.startswith(f"{path.stem}.")), None)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.is_file())


def _quoted(path: Path) -> str:
    """A path quoted for a shell, relative to the working directory where that is shorter."""
    near = Path(os.path.relpath(path))
    return shlex.quote(str(path if near.parts[:1] == ("..",) else near))


def _harness() -> str:
    """How to call this command: its name if the shell finds it, else the path beside this Python."""
    return "harness" if shutil.which("harness") else _quoted(Path(sys.executable).parent / "harness")
