"""What a running trial looks like right now: a fold over its events, from which the live view is drawn."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from harness.model.events import Phase, RungSample, WatchOpinion, WorkloadProgress
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
        match event.payload:
            case RungSample() as sample:
                self._rung(event, sample)
            case WorkloadProgress() as progress:
                self._progress(event, progress)
            case WatchOpinion() as opinion:
                self.opinion, self.since_s, self.why = opinion.state, opinion.since_s, opinion.why
            case Phase() as phase if phase.begins:
                self.phase = phase.name
        line = describe(event)
        if line is not None and event.kind not in (Kind.PHASE, Kind.OPINION):
            self.lines.append(line)

    def _host(self, event: Event) -> HostView:
        return self.hosts.setdefault(event.host, HostView())

    def _rung(self, event: Event, sample: RungSample) -> None:
        self._host(event).rungs[sample.rung] = RungView(
            t=event.t,
            ok=sample.ok,
            latency_s=sample.latency_s,
            blocked_s=sample.blocked_s,
            detail=sample.detail,
        )

    def _progress(self, event: Event, progress: WorkloadProgress) -> None:
        host = self._host(event)
        host.samples.append((event.t, progress.ops or 0))
        while len(host.samples) > 2 and event.t - host.samples[0][0] > RATE_WINDOW_S:
            host.samples.popleft()
        host.workers, host.finished, host.failed = progress.workers, progress.finished, progress.failed
        host.label = progress.label or ""
