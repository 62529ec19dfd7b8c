"""Observers: the live view follows a trial's events, progress bars follow slow preparations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from harness.model.history import Event


class Observer(Protocol):
    """Receives every event of a trial as it is recorded; must be quick and must not raise."""

    def on_event(self, event: Event) -> None:
        """One event was recorded."""


class Progress(Protocol):
    """Receives the progress of a slow preparation (a download, an image build)."""

    def step(self, what: str, done: float | None = None) -> None:
        """`what` is in progress; `done` is the finished share from 0.0 to 1.0, or None if unknown."""


class Steps:
    """Prints progress as lines through `say`; steps that only differ in their share are printed once."""

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say, self._last = say, ""

    def step(self, what: str, done: float | None = None) -> None:
        """See `Progress.step`."""
        if what != self._last:
            self._last = what
            self._say(what)


class Silent:
    """An observer and a progress that discard everything."""

    def on_event(self, event: Event) -> None:
        """See `Observer.on_event`."""

    def step(self, what: str, done: float | None = None) -> None:
        """See `Progress.step`."""
