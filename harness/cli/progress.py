"""Progress of a slow preparation: bars on a terminal, else a line for each step."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from harness.results.text import plain_line


class Bars:
    """`harness.model.observe.Progress` on a console; a context manager.

    A step ends when the next one begins, or when its share reaches 1.0.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            SpinnerColumn(finished_text="✓"),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._current: str | None = None

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and self._current is not None:
            self._finish(self._current)
        self._progress.stop()

    def step(self, what: str, done: float | None = None) -> None:
        """See `Progress.step`."""
        name = plain_line(what)
        if name not in self._tasks:
            self._begin(name)
        if done is not None:
            self._progress.update(self._tasks[name], total=1.0, completed=min(1.0, max(0.0, done)))

    def _begin(self, name: str) -> None:
        if self._current is not None:
            self._finish(self._current)
        self._current = name
        self._tasks[name] = self._progress.add_task(name, total=None)
        if not self._console.is_terminal:
            self._console.print(Text(f"{name} …"), soft_wrap=True)

    def _finish(self, name: str) -> None:
        self._progress.update(self._tasks[name], total=1.0, completed=1.0)
