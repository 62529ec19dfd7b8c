"""The recorder: timestamps events and forwards them to history, watch and observers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from harness.model.clock import Clock
from harness.model.events import Payload, WatchOpinion
from harness.model.history import Event
from harness.model.observe import Observer
from harness.model.opinion import Opinion


class Recorder:
    """Timestamps events of all threads with the trial's time, and forwards them one at a time."""

    def __init__(
        self,
        append: Callable[[Event], None],
        watch: Callable[[Event], Opinion],
        observers: Sequence[Observer],
        clock: Clock,
    ) -> None:
        self._append = append
        self._watch = watch
        self._observers = observers
        self._clock = clock
        self._started = clock.monotonic()
        self._lock = threading.Lock()
        self._said: Opinion | None = None

    @property
    def now(self) -> float:
        """Seconds since the trial began."""
        return self._clock.monotonic() - self._started

    def emit(self, payload: Payload, host: str = "") -> None:
        """Record one event, and the watch's opinion after it if that has changed."""
        with self._lock:
            event = _event(self.now, payload, host)
            self._pass_on(event)
            opinion = self._watch(event)
            if self._said is None or opinion.state is not self._said.state:
                self._said = opinion
                self._pass_on(_event(event.t, WatchOpinion.of(opinion), ""))

    def _pass_on(self, event: Event) -> None:
        self._append(event)
        for observer in self._observers:
            observer.on_event(event)


def _event(t: float, payload: Payload, host: str) -> Event:
    """An event with a serialised payload: watch and observers parse the same data as later readers of the file."""
    return Event(t, payload.event_kind, host, payload.to_dict())
