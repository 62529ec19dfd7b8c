"""The opinion on a trial at any moment: a fold over its events, the same live and recomputed years later."""

from __future__ import annotations

from dataclasses import dataclass

from harness.model.events import Baseline, Heartbeat, HostRecord, Lag, Phase, RungSample, WorkloadProgress
from harness.model.finding import CRASHES, LOCKUPS, Finding, FindingKind
from harness.model.history import Event, Kind, Rung
from harness.model.opinion import Opinion, State
from harness.model.power import PowerState
from harness.verdicts.hosts import BLOCKED_S, HostView
from harness.verdicts.pace import Crawl, Pace
from harness.verdicts.policy import Policy
from harness.verdicts.steal_time import StealTime

EVIDENCE = "evidence"
LOAD = "load"  # in other phases the harness itself disturbs the host, or the load does not run
DEAF_S = 2.0  # rungs of every host come once a second; without any event for so long, the harness did not listen
DISTURBED_S = 30.0  # a kernel watchdog looks back so far; it may see dumps that the harness asked for, a lag or a pause
CORROBORATING = (Rung.STORAGE, Rung.ALLOC, Rung.FORK, Rung.DISK, Rung.NET, Rung.SHELL)


@dataclass(slots=True)
class Stop:
    """No progress from `onset_s` on, or very little (`crawl`); certain at `certain_s`; `ended_s` if progress resumed.

    `steal_s` is the steal time within a stop that ended.
    """

    onset_s: float
    certain_s: float
    blocked: tuple[str, ...]
    alive: tuple[str, ...]
    why: str
    crawl: Crawl | None = None
    ended_s: float | None = None
    steal_s: float = 0.0


class Watch:
    """Takes every event with `feed`; `opinion` is the newest opinion, `stops` has all stops so far."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.pace = Pace(policy)
        self.hosts: dict[str, HostView] = {}
        self.stops: list[Stop] = []
        self.opinion = Opinion(State.IDLE, 0.0, "no workload yet")
        self.phase = ""
        self._fenced: set[str] = set()
        self._loaded_s = 0.0
        self._probed = False
        self._ended: Opinion | None = None
        self._locked: Opinion | None = None
        self._heard_s = 0.0
        self._disturbed_s = float("-inf")
        self._steal = StealTime()

    @property
    def policy(self) -> Policy:
        """The thresholds; replaced by scaled ones once the guests' slowdown is known."""
        return self._policy

    @policy.setter
    def policy(self, policy: Policy) -> None:
        self._policy = self.pace.policy = policy

    @property
    def last_s(self) -> float:
        """The newest event's time."""
        return self._heard_s

    @property
    def open_stop(self) -> Stop | None:
        """The stop that has not ended, or None."""
        return self.stops[-1] if self.stops and self.stops[-1].ended_s is None else None

    def feed(self, event: Event) -> Opinion:
        """Take one event; returns the opinion after it."""
        if event.t - self._heard_s > DEAF_S:
            self._forgive(event.t - self._heard_s, event.t)
        self._heard_s = max(self._heard_s, event.t)
        if event.kind is Kind.FENCE:
            self.hosts.pop(event.host, None)
            self._fenced.add(event.host)
        if event.host in self._fenced:
            return self.opinion
        self._take(event)
        if self.phase == LOAD and event.kind is not Kind.HEARTBEAT:  # its progress comes right after it
            self._judge(event.t)
        return self.opinion

    def _take(self, event: Event) -> None:
        match event.payload:
            case RungSample() as sample:
                self._rung(event, sample)
            case Heartbeat() as beat:
                self._host(event.host).heartbeat(event.t, beat)
            case WorkloadProgress() as progress:
                self._progress(event, progress)
            case Finding() as finding:
                self._console(event, finding)
            case HostRecord() as record:
                self._host(event.host).known(record)
            case Phase() as phase:
                self._phase(event.t, phase)
            case Baseline() as baseline:
                self.pace.baseline = baseline.ops_per_s
            case Lag() as lag:
                self._forgive(lag.seconds, event.t)

    def _phase(self, now: float, phase: Phase) -> None:
        if phase.begins:
            self.phase = phase.name
            self._probed = self._probed or self.phase == "recovery"
        elif self.phase == phase.name:
            if self.phase == "evidence":
                self._disturbed_s = now
            self.phase = ""
        if self.phase == LOAD:
            self._loaded_s = now
            for host in self.hosts.values():
                host.moved_s = max(host.moved_s, now)

    def _console(self, event: Event, finding: Finding) -> None:
        title = f"{event.host}: {finding.title}"
        if finding.kind in CRASHES:
            self._ended = Opinion(State.CRASHED, event.t, title)
        elif self._is_lockup(event, finding):
            self._locked = self._locked or Opinion(State.LOCKED, event.t, title, event.host)
        elif self._is_critical(finding) and self.open_stop is None:
            # A task that dies during a stop is not its cause. It must not cancel the recovery probe, which finds it.
            self._ended = self._ended or Opinion(State.KILLED, event.t, title)

    def _is_lockup(self, event: Event, finding: Finding) -> bool:
        if self.phase != LOAD or event.t - self._disturbed_s <= DISTURBED_S:
            return False
        # A pool whose workers all wait for memory is stuck too, but as a consequence of the stop.
        if finding.kind != FindingKind.WORKQUEUE_LOCKUP:
            return finding.kind in LOCKUPS
        pressed = event.t - self._host(event.host).pressed_s <= DISTURBED_S
        return self.open_stop is None and not pressed

    def _is_critical(self, finding: Finding) -> bool:
        return finding.kind == FindingKind.OOM_KILL and finding.task in self.policy.critical_tasks

    def _host(self, name: str) -> HostView:
        return self.hosts.setdefault(name, HostView())

    def _rung(self, event: Event, sample: RungSample) -> None:
        self._steal.feed(event)
        if self._host(event.host).rung(event.t, sample):
            self._disturbed_s = event.t

    def _progress(self, event: Event, progress: WorkloadProgress) -> None:
        moved = self._host(event.host).progress(event.t, progress)
        working = [host for host in self.hosts.values() if host.workers]
        workers = sum(host.workers for host in working)
        if self.phase in (LOAD, EVIDENCE) and workers:
            busy = workers - sum(host.finished + host.failed for host in working)
            self.pace.add(event.t, sum(host.ops or 0 for host in working), busy / workers)
        if moved:
            self._end_stop(event.t)

    def _end_stop(self, now: float) -> None:
        stop = self.open_stop
        # A stop may also end while evidence is collected: that leaves the workload alone. The recovery probe does not.
        if stop is None or self._probed:
            return
        if stop.crawl is None:
            stop.ended_s = now
        elif self.pace.recovered:
            stop.ended_s = now - self.policy.livelock_s / 3
        if stop.ended_s is not None:
            stop.steal_s = self._steal.between(stop.onset_s, stop.ended_s)

    def _forgive(self, lag: float, now: float) -> None:
        self._loaded_s = min(now, self._loaded_s + lag)
        self._disturbed_s = now
        self.pace.forget()
        for host in self.hosts.values():
            host.forgive(lag, now)

    def _judge(self, now: float) -> None:
        self.opinion = (
            self._ended
            or self._power_opinion(now)
            or self._silence_opinion(now)
            or self._locked
            or self._progress_opinion(now)
        )

    def _power_opinion(self, now: float) -> Opinion | None:
        for name, host in self.hosts.items():
            if host.power in (PowerState.OFF, PowerState.GONE):
                return Opinion(State.GONE, host.power_s, f"{name} is {host.power_word}", name)
            if host.power is PowerState.PAUSED and now - host.power_s >= self.policy.silent_s:
                return Opinion(State.PAUSED, host.power_s, f"{name} is paused by its hypervisor", name)
        return None

    def _silence_opinion(self, now: float) -> Opinion | None:
        for name, host in self.hosts.items():
            unheard = host.unheard(now)
            if unheard >= self.policy.silent_s:
                unheard = self.granted(now, unheard, name)
            if unheard >= self.policy.silent_s and host.beat_s is not None:
                if found := host.dead_agent:
                    why = f"{name}: the agent is {found}, and the kernel answers"
                    return Opinion(State.AGENT_DEAD, host.beat_s, why, name)
                silence = self.granted(now, host.silence(now), name)
                if silence >= self.policy.silent_s:
                    return Opinion(State.SILENT, host.beat_s, f"{name}: no heartbeat for {silence:.1f} s", name)
                continue  # its newest records are too old, and on this channel silence proves nothing
            stuck = host.stuck_processor(now, self.policy.silent_s)
            if stuck is not None and self.granted(now, now - stuck[1], name) >= self.policy.silent_s:
                number, tick = stuck
                why = f"{name}: processor {number} has not scheduled for {now - tick:.1f} s"
                return Opinion(State.LOCKED, tick, why, name)
            idle = host.stuck_work(now)
            if idle >= self.policy.work_s and self.open_stop is None:
                why = f"{name}: a processor has not run deferred work for {idle:.1f} s"
                return Opinion(State.LOCKED, now - host.blocked_for(Rung.WORK, now), why, name)
        return None

    def within_bound(self, stop: Stop, now: float) -> bool:
        """Whether an open stop may still be a wait that the storage's protocol allows."""
        return self.granted(now, now - stop.onset_s) < self.policy.bound_s

    def granted(self, now: float, seconds: float, host: str | None = None) -> float:
        """The last `seconds` without the steal time of `host`, or of all hosts."""
        return seconds - self._steal.between(now - seconds, now, host)

    def _progress_opinion(self, now: float) -> Opinion:
        working = {name: host for name, host in self.hosts.items() if host.workers}
        if working and all(host.finished + host.failed >= host.workers for host in working.values()):
            return Opinion(State.FINISHED, now, "every worker has come to its end")
        if working and all(host.has_died(now) for host in working.values()):
            return Opinion(State.FINISHED, now, "every worker has died")
        self._crawl(now)
        if (stop := self.open_stop) is not None:
            return Opinion(State.STOPPED, stop.onset_s, stop.why)
        paused = next((name for name, host in working.items() if host.power is PowerState.PAUSED), None)
        if paused is not None:
            return Opinion(State.SUSPECT, working[paused].power_s, f"{paused} is paused by its hypervisor")
        return self._pace_opinion(working, now)

    def _crawl(self, now: float) -> None:
        """Update stops by crawls.

        A crawl begins a stop, or reopens one that ended a moment ago. A crawl without any more progress becomes a stop.
        """
        stop = self.open_stop
        if stop is not None:
            flat = now - max(host.moved_s for host in self.hosts.values())
            if stop.crawl is not None and flat >= 2 * self.policy.livelock_s:
                stop.crawl, stop.blocked, stop.alive = None, self.blocked(now, BLOCKED_S), self.answering(now)
            return
        crawl = self.pace.crawl
        if crawl is None:
            return
        last = self.stops[-1] if self.stops else None
        if last is not None and last.ended_s is not None and crawl.begin_s <= last.ended_s + self.policy.stop_s:
            last.ended_s, last.crawl, last.certain_s = None, crawl, now
            return
        self._stop(crawl.begin_s, now, f"progress at {crawl.share:.2%} of the baseline").crawl = crawl

    def _pace_opinion(self, working: dict[str, HostView], now: float) -> Opinion:
        # A workload without a first report may have stopped before its first page; it gets twice the time.
        last = max((host.moved_s for host in working.values()), default=self._loaded_s)
        flat = now - last if working else (now - last) / 2
        if working and flat >= self.policy.stop_s / 2:
            flat = self.granted(now, flat)
        if flat < self.policy.stop_s / 2:
            return Opinion(State.RUNNING, last, "progress")
        blocked = self.blocked(now, self.policy.stop_s / 2)
        why = f"no progress for {flat:.1f} s; blocked: {', '.join(blocked)}"
        if not blocked:
            why = f"no progress for {flat:.1f} s, though every rung answers"
        if flat >= (self.policy.stop_s if blocked else self.policy.quiet_s):
            return Opinion(State.STOPPED, last, self._stop(last, now, why).why)
        return Opinion(State.SUSPECT, last, f"no progress for {flat:.1f} s")

    def _stop(self, onset: float, now: float, why: str) -> Stop:
        self.stops.append(Stop(onset, now, self.blocked(now, self.policy.stop_s / 2), self.answering(now), why))
        return self.stops[-1]

    def blocked(self, now: float, at_least: float) -> tuple[str, ...]:
        """`host/rung` of rungs blocked for at least `at_least` seconds."""
        return tuple(
            f"{name}/{rung}"
            for name, host in self.hosts.items()
            for rung in CORROBORATING
            if host.blocked_for(rung, now) >= at_least
        )

    def answering(self, now: float) -> tuple[str, ...]:
        """`host/rung` of rungs that answer."""
        return tuple(
            f"{name}/{rung.value}"
            for name, host in self.hosts.items()
            for rung in Rung
            if rung in host.rungs and rung is not Rung.PROGRESS and host.blocked_for(rung, now) < BLOCKED_S
        )
