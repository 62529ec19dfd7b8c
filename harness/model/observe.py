"""Who may look on: the live view follows a trial's events, the progress bars follow slow preparations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from harness.model.history import Event


class Observer(Protocol):
    """Sees every event of a trial as it is recorded; must be quick and must not raise."""

    def on_event(self, event: Event) -> None:
        """One event was recorded."""


class Progress(Protocol):
    """Sees how far a slow preparation is (a download, an image build)."""

    def step(self, what: str, done: float | None = None) -> None:
        """`what` is being done; `done` is its share from 0.0 to 1.0, or None where nobody knows."""


class Steps:
    """Progress in words, each line to `say`; steps that only differ in their share count once."""

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say, self._last = say, ""

    def step(self, what: str, done: float | None = None) -> None:
        """See `Progress.step`."""
        if what != self._last:
            self._last = what
            self._say(what)


class Silent:
    """An observer and a progress that say nothing."""

    def on_event(self, event: Event) -> None:
        """See `Observer.on_event`."""

    def step(self, what: str, done: float | None = None) -> None:
        """See `Progress.step`."""
