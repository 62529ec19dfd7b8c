"""The thread that samples every host once a second."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from harness.model.clock import Clock
from harness.model.errors import InfraError
from harness.model.events import Lag
from harness.monitors.ladder import PERIOD_S, AgentRungs, HostMonitor
from harness.monitors.recorder import Recorder
from harness.site.target import Site

LAG_S = 2.0  # a tick that is later than this means that this machine is overloaded
LAST_LOOK_S = 10.0  # time for a running tick to end when the load is over
BLIND_S = 60.0  # a tick that takes this long does not end: it only passes on the results of probes on other threads


class Ticker:
    """Samples the hosts on a thread of its own while the body of `with` runs.

    Only ticks notice silence: without them, a host that is gone would keep its last state.
    """

    def __init__(self, monitors: Sequence[HostMonitor], recorder: Recorder, clock: Clock) -> None:
        self._monitors, self._recorder, self._clock = monitors, recorder, clock
        self._stop = threading.Event()
        self._error: Exception | None = None
        self._ticks, self._seen, self._unchanged = 0, 0, 0.0
        self._looked = clock.monotonic()
        self._thread = threading.Thread(target=self._run, name="ticker", daemon=True)

    @classmethod
    def of(cls, site: Site, agents: Mapping[str, AgentRungs], recorder: Recorder, clock: Clock) -> Self:
        """A ticker for all hosts of a site; `agents` by host name."""
        monitors = [HostMonitor(target, agents[name], recorder, clock) for name, target in site.targets.items()]
        return cls(monitors, recorder, clock)

    def __enter__(self) -> Self:
        for monitor in self._monitors:
            monitor.start()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        for monitor in self._monitors:
            monitor.stop()
        self._thread.join(timeout=LAST_LOOK_S)
        if error is None:
            self.check()

    def tick(self) -> None:
        """Sample every host once."""
        for monitor in self._monitors:
            monitor.tick()
        self._ticks += 1

    def check(self) -> None:
        """Raises InfraError if the hosts are no longer sampled."""
        if self._error is not None:
            raise InfraError(f"the hosts were not watched to the end: {self._error!r}") from self._error
        now = self._clock.monotonic()
        # One check adds at most a period: if this machine stood still, all its threads did.
        self._unchanged = 0.0 if self._ticks != self._seen else self._unchanged + min(now - self._looked, PERIOD_S)
        self._seen, self._looked = self._ticks, now
        if self._unchanged > BLIND_S and not self._stop.is_set():
            raise InfraError(f"the hosts were not sampled for {self._unchanged:.0f} s: a tick does not end")

    def _run(self) -> None:
        try:
            self._tick_until_stopped()
        except Exception as error:
            self._error = error

    def _tick_until_stopped(self) -> None:
        due = self._clock.monotonic()
        while not self._stop.is_set():
            late = self._clock.monotonic() - due
            if late > LAG_S:
                self._recorder.emit(Lag(seconds=round(late, 2)))
                due = self._clock.monotonic()
            self.tick()
            due += PERIOD_S
            self._stop.wait(max(0.0, due - self._clock.monotonic()))
