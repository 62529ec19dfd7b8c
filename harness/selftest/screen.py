"""The screen of a campaign: running trials, progress and accuracy on a terminal; elsewhere a line for each trial."""

from __future__ import annotations

import time
from collections import Counter
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table as RichTable
from rich.text import Text

from harness.results.text import plain_line
from harness.selftest.kinds import KINDS
from harness.selftest.lanes import Outcome
from harness.selftest.score import kind_of
from harness.selftest.tables import Table


def show(console: Console, table: Table) -> None:
    """Print a table, if it has any rows."""
    if not table.rows:
        return
    console.print(Text(table.title, style="bold underline"))
    drawn = RichTable(box=None, pad_edge=False, header_style="bold")
    for column in table.columns:
        drawn.add_column(column, overflow="fold")
    for row in table.rows:
        drawn.add_row(*(Text(plain_line(cell)) for cell in row))
    console.print(drawn)
    console.print()


class Screen:
    """A `Watcher` for the terminal; a context manager around the campaign."""

    def __init__(self, console: Console, total: int) -> None:
        self._console, self._total = console, total
        self._running: dict[str, float] = {}
        self._counts: Counter[tuple[str, str]] = Counter()
        self._done = 0
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None

    def __enter__(self) -> Screen:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def write(self, line: str) -> None:
        """Print one line above the live display."""
        self._console.print(Text(plain_line(line)), soft_wrap=True)

    def began(self, trial: str) -> None:
        """See `Watcher.began`."""
        self._running[trial] = time.monotonic()

    def ended(self, outcome: Outcome) -> None:
        """See `Watcher.ended`."""
        seconds = time.monotonic() - self._running.pop(outcome.trial)
        truth = KINDS[kind_of(outcome.trial)]
        self._done += 1
        self._counts[truth.expected, outcome.outcome] += 1
        right = any(kind.value == outcome.outcome for kind in truth.accepted)
        mark = "right" if right else f"WRONG (true: {truth.expected})"
        self.write(
            f"{self._done}/{self._total} {outcome.trial}: {outcome.outcome}, {mark}, {seconds:.0f} s: {outcome.summary}"
        )

    def waiting(self) -> None:
        """See `Watcher.waiting`."""
        if self._live is not None:
            self._live.update(self._drawn(), refresh=True)

    def _drawn(self) -> Group:
        now = time.monotonic()
        lines = [f"{trial}  {now - begun:.0f} s" for trial, begun in self._running.items()]
        left = self._total - self._done - len(self._running)
        counts = RichTable("true", "said", "trials", box=None, pad_edge=False, header_style="bold")
        for (true, said), count in sorted(self._counts.items()):
            counts.add_row(true, said, str(count), style=None if said in true else "red")
        return Group(Text(f"{self._done} done, {left} left; running:"), *(Text(line) for line in lines), counts)
