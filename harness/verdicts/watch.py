"""What the ladder says at any moment: a fold over events, the same while a trial runs and years later."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from harness.model.finding import CRASHES, FindingKind
from harness.model.history import Event, Kind, Rung
from harness.model.opinion import Opinion, State
from harness.verdicts.policy import Policy

LOAD = "load"  # in every other phase the harness itself disturbs the host, or the load does not run
BLOCKED_S = 1.0  # a probe that is under way for less is nothing to speak of
DEAF_S = 2.0  # every host's rungs come once a second; when nothing at all comes for so long, nobody was listening
DEATH_S = 1.0  # without processes and without progress: it cannot be about to report its end
CORROBORATING = (Rung.STORAGE, Rung.ALLOC, Rung.FORK, Rung.DISK, Rung.NET, Rung.SHELL)


@dataclass(slots=True)
class Stop:
    """No progress from `onset_s` on; certain at `certain_s`; `ended_s` if it came back."""

    onset_s: float
    certain_s: float
    blocked: tuple[str, ...]
    alive: tuple[str, ...]
    why: str
    ended_s: float | None = None


@dataclass(slots=True)
class HostView:
    """The newest of everything that one host told."""

    rungs: dict[str, dict[str, Any]] = field(default_factory=dict)
    seen: dict[str, float] = field(default_factory=dict)
    ops: int | None = None
    workers: int = 0
    finished: int = 0
    failed: int = 0
    alive: int = 0
    moved_s: float = 0.0
    beat_s: float | None = None
    power: str = ""
    power_s: float = 0.0
    cpu_s: float = 0.0

    def has_died(self, now: float) -> bool:
        """Whether its workload worked once, and none of its processes is there any more."""
        return bool(self.workers and self.ops) and self.alive == 0 and now - self.moved_s >= DEATH_S

    def blocked_for(self, rung: str, now: float) -> float:
        """Seconds for which a rung has been blocked, 0.0 if it answers."""
        blocked = self.rungs.get(rung, {}).get("blocked_s")
        if blocked is None:
            return 0.0
        return float(blocked) + max(0.0, now - self.seen.get(rung, now))


class Watch:
    """Feed it every event; `opinion` is the newest, `stops` every stop that there was."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.hosts: dict[str, HostView] = {}
        self.stops: list[Stop] = []
        self.opinion = Opinion(State.IDLE, 0.0, "no workload yet")
        self.phase = ""
        self._loaded_s = 0.0
        self._probed = False
        self._ended: Opinion | None = None
        self._heard_s = 0.0

    @property
    def open_stop(self) -> Stop | None:
        """The stop that has not ended, if there is one."""
        return self.stops[-1] if self.stops and self.stops[-1].ended_s is None else None

    def feed(self, event: Event) -> Opinion:
        """Take one event in; returns the opinion after it."""
        if event.t - self._heard_s > DEAF_S:
            self._forgive(event.t - self._heard_s, event.t)
        self._heard_s = max(self._heard_s, event.t)
        handler = {
            Kind.PHASE: self._phase,
            Kind.RUNG: self._rung,
            Kind.PROGRESS: self._progress,
            Kind.HEARTBEAT: self._heartbeat,
            Kind.LAG: self._lag,
            Kind.CONSOLE: self._console,
        }.get(event.kind)
        if handler is not None:
            handler(event)
        if self.phase == LOAD:
            self._judge(event.t)
        return self.opinion

    def _phase(self, event: Event) -> None:
        if event.data.get("state") == "begin":
            self.phase = str(event.data.get("name", ""))
            self._probed = self._probed or self.phase == "recovery"
        elif self.phase == event.data.get("name"):
            self.phase = ""
        if self.phase == LOAD:
            self._loaded_s = event.t
            for host in self.hosts.values():
                host.moved_s = max(host.moved_s, event.t)

    def _console(self, event: Event) -> None:
        title = f"{event.host}: {event.data.get('title', '')}"
        if event.data.get("kind") in CRASHES:
            self._ended = Opinion(State.CRASHED, event.t, title)
        elif self._is_mortal(event) and self.open_stop is None:
            # What dies of a stop is not its cause, and must not keep the recovery probe from telling what was.
            self._ended = self._ended or Opinion(State.KILLED, event.t, title)

    def _is_mortal(self, event: Event) -> bool:
        return event.data.get("kind") == FindingKind.OOM_KILL and event.data.get("task") in self.policy.mortal

    def _host(self, name: str) -> HostView:
        return self.hosts.setdefault(name, HostView())

    def _rung(self, event: Event) -> None:
        host, rung = self._host(event.host), str(event.data["rung"])
        if rung == Rung.VCPU:
            power = str(event.data.get("detail", ""))
            if power != host.power:
                if host.power == "paused":
                    host.moved_s = max(host.moved_s, event.t)
                host.power, host.power_s = power, event.t
        host.rungs[rung], host.seen[rung] = dict(event.data), event.t

    def _progress(self, event: Event) -> None:
        host, data = self._host(event.host), event.data
        ops = int(data["ops"])
        if ops != host.ops or int(data["finished"]) != host.finished:
            host.moved_s = event.t
            self._end_stop(event.t)
        host.ops, host.workers, host.finished = ops, int(data["workers"]), int(data["finished"])
        host.failed, host.alive = int(data.get("failed", 0)), int(data.get("alive", 0))

    def _end_stop(self, now: float) -> None:
        stop = self.open_stop
        # Also while evidence is collected, which leaves the workload alone; the recovery probe does not.
        if stop is not None and not self._probed:
            stop.ended_s = now

    def _heartbeat(self, event: Event) -> None:
        self._host(event.host).beat_s = event.t

    def _lag(self, event: Event) -> None:
        self._forgive(float(event.data["seconds"]), event.t)

    def _forgive(self, lag: float, now: float) -> None:
        # Nobody was listening: what was not heard in that time may well have been said.
        self._loaded_s = min(now, self._loaded_s + lag)
        for host in self.hosts.values():
            host.moved_s = min(now, host.moved_s + lag)
            if host.beat_s is not None:
                host.beat_s = min(now, host.beat_s + lag)

    def _judge(self, now: float) -> None:
        self.opinion = (
            self._ended or self._power_opinion(now) or self._silence_opinion(now) or self._progress_opinion(now)
        )

    def _power_opinion(self, now: float) -> Opinion | None:
        for name, host in self.hosts.items():
            if host.power in ("shutoff", "gone"):
                return Opinion(State.GONE, host.power_s, f"{name} is {host.power}")
            if host.power == "paused" and now - host.power_s >= self.policy.silent_s:
                return Opinion(State.PAUSED, host.power_s, f"{name} is paused by its hypervisor")
        return None

    def _silence_opinion(self, now: float) -> Opinion | None:
        for name, host in self.hosts.items():
            if host.power == "paused" or host.beat_s is None:
                continue
            # A guest that was just resumed gets its time too.
            silence = now - max(host.beat_s, host.power_s)
            if silence >= self.policy.silent_s:
                return Opinion(State.SILENT, host.beat_s, f"{name}: no heartbeat for {silence:.1f} s")
        return None

    def _progress_opinion(self, now: float) -> Opinion:
        working = {name: host for name, host in self.hosts.items() if host.workers}
        if working and all(host.finished + host.failed >= host.workers for host in working.values()):
            return Opinion(State.FINISHED, now, "every worker has come to its end")
        if working and all(host.has_died(now) for host in working.values()):
            return Opinion(State.FINISHED, now, "every worker has died")
        if (stop := self.open_stop) is not None:
            return Opinion(State.STOPPED, stop.onset_s, stop.why)
        paused = next((name for name, host in working.items() if host.power == "paused"), None)
        if paused is not None:
            return Opinion(State.SUSPECT, working[paused].power_s, f"{paused} is paused by its hypervisor")
        return self._pace_opinion(working, now)

    def _pace_opinion(self, working: dict[str, HostView], now: float) -> Opinion:
        # A workload that has not begun to report may have been caught before its first page; it gets more time.
        last = max((host.moved_s for host in working.values()), default=self._loaded_s)
        flat = now - last if working else (now - last) / 2
        if flat < self.policy.stop_s / 2:
            return Opinion(State.RUNNING, last, "progress")
        blocked = self.blocked(now, self.policy.stop_s / 2)
        if blocked and flat >= self.policy.stop_s:
            return self._stop(last, now, f"no progress for {flat:.1f} s; blocked: {', '.join(blocked)}")
        if flat >= self.policy.quiet_s:
            return self._stop(last, now, f"no progress for {flat:.1f} s, though every rung answers")
        return Opinion(State.SUSPECT, last, f"no progress for {flat:.1f} s")

    def _stop(self, onset: float, now: float, why: str) -> Opinion:
        self.stops.append(Stop(onset, now, self.blocked(now, BLOCKED_S), self.answering(now), why))
        return Opinion(State.STOPPED, onset, why)

    def blocked(self, now: float, at_least: float) -> tuple[str, ...]:
        """`host/rung` of the rungs that have been blocked for `at_least` seconds."""
        return tuple(
            f"{name}/{rung}"
            for name, host in self.hosts.items()
            for rung in CORROBORATING
            if host.blocked_for(rung, now) >= at_least
        )

    def answering(self, now: float) -> tuple[str, ...]:
        """`host/rung` of the rungs that answer."""
        return tuple(
            f"{name}/{rung.value}"
            for name, host in self.hosts.items()
            for rung in Rung
            if rung in host.rungs and rung is not Rung.PROGRESS and host.blocked_for(rung, now) < BLOCKED_S
        )
