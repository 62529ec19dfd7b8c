"""What a running trial looks like right now: a fold over its events, from which the live view is drawn."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.model.history import Event, Kind
from harness.plugin.live.lines import describe

# Seconds over which the shown rate of progress is taken: long enough for a guest that reports once a second.
RATE_WINDOW_S = 5.0
SHOWN_LINES = 4


@dataclass(frozen=True, slots=True)
class RungView:
    """The last sample of one rung, taken `t` seconds into the trial."""

    t: float
    ok: bool
    latency_s: float | None
    blocked_s: float | None
    detail: str


@dataclass(slots=True)
class HostView:
    """What is known of one host: its rungs by name, and its workload if it runs one."""

    rungs: dict[str, RungView] = field(default_factory=dict)
    samples: deque[tuple[float, float]] = field(default_factory=deque)
    workers: int = 0
    finished: int = 0
    failed: int = 0
    label: str = ""

    @property
    def ops(self) -> float | None:
        """Operations done so far, or None on a host without a workload."""
        return self.samples[-1][1] if self.samples else None

    @property
    def rate(self) -> float | None:
        """Operations a second over the last samples, or None before there are two."""
        if len(self.samples) < 2:
            return None
        (begin, first), (end, last) = self.samples[0], self.samples[-1]
        return (last - first) / (end - begin) if end > begin else None


@dataclass(slots=True)
class View:
    """A trial as its events tell it; `apply` takes the next one."""

    name: str
    t: float = 0.0
    phase: str = ""
    opinion: str = ""
    since_s: float | None = None
    why: str = ""
    hosts: dict[str, HostView] = field(default_factory=dict)
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=SHOWN_LINES))

    def apply(self, event: Event) -> None:
        """Take in one event."""
        self.t = max(self.t, event.t)
        handler = _HANDLERS.get(event.kind)
        if handler is not None:
            handler(self, event)
        line = describe(event)
        if line is not None and event.kind not in (Kind.PHASE, Kind.OPINION):
            self.lines.append(line)

    def _host(self, event: Event) -> HostView:
        return self.hosts.setdefault(event.host, HostView())

    def _phase(self, event: Event) -> None:
        if event.data.get("state") == "begin":
            self.phase = str(event.data.get("name", ""))

    def _opinion(self, event: Event) -> None:
        self.opinion = str(event.data.get("state", ""))
        self.since_s = _number(event.data, "since_s")
        self.why = str(event.data.get("why", ""))

    def _rung(self, event: Event) -> None:
        self._host(event).rungs[str(event.data.get("rung", ""))] = RungView(
            t=event.t,
            ok=bool(event.data.get("ok")),
            latency_s=_number(event.data, "latency_s"),
            blocked_s=_number(event.data, "blocked_s"),
            detail=str(event.data.get("detail") or ""),
        )

    def _progress(self, event: Event) -> None:
        host = self._host(event)
        host.samples.append((event.t, _number(event.data, "ops") or 0.0))
        while len(host.samples) > 2 and event.t - host.samples[0][0] > RATE_WINDOW_S:
            host.samples.popleft()
        host.workers = int(_number(event.data, "workers") or 0)
        host.finished = int(_number(event.data, "finished") or 0)
        host.failed = int(_number(event.data, "failed") or 0)
        host.label = str(event.data.get("label") or "")


_HANDLERS = {
    Kind.PHASE: View._phase,
    Kind.OPINION: View._opinion,
    Kind.RUNG: View._rung,
    Kind.PROGRESS: View._progress,
}


def _number(data: Mapping[str, Any], key: str) -> float | None:
    value = data.get(key)
    return float(value) if isinstance(value, int | float) else None
