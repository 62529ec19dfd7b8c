"""The newest state of one host, as its records report it."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.model.events import Heartbeat, HostRecord, Rung, RungSample, WorkloadProgress
from harness.model.power import PowerState

BLOCKED_S = 1.0  # a probe that has run for less does not count as blocked
PRESSED_S = 3.0  # an allocation or a fork that takes so long means that memory is short
DEATH_S = 1.0  # without processes and progress for so long: the workload cannot be about to report its end
FRESH_S = 1.0  # a session that began so long after the last beat is evidence about the time without beats
# Neither ready (R) nor asleep (S) is here: it sleeps for ever if its timer is that of a processor without interrupts.
DEAD_AGENT = {"": "gone", "Z": "dead", "X": "dead", "T": "stopped", "t": "stopped", "D": "blocked"}


@dataclass(slots=True)
class HostView:
    """The newest state of one host: rungs, power, heartbeat and progress."""

    rungs: dict[str, RungSample] = field(default_factory=dict)
    seen: dict[str, float] = field(default_factory=dict)
    ops: int | None = None
    workers: int = 0
    finished: int = 0
    failed: int = 0
    alive: int = 0
    peak: int = 0
    moved_s: float = 0.0
    beat_s: float | None = None
    ticks: tuple[float, ...] = ()
    pressed_s: float = float("-inf")
    power: PowerState = PowerState.UNKNOWN
    power_word: str = ""
    power_s: float = 0.0
    answered_s: float = float("-inf")
    is_unanswered: bool = False
    silence_is_proof: bool = True
    power_source: str = ""

    def known(self, record: HostRecord) -> None:
        """Take the host's own record."""
        self.silence_is_proof, self.power_source = record.silence_is_proof, record.power_source

    def rung(self, t: float, sample: RungSample) -> bool:
        """Take a sample of one rung; returns whether it shows that the guest was resumed."""
        resumed = False
        name = sample.rung
        if name == Rung.VCPU:
            resumed = self._take_power(t, sample)
        slow = max(sample.blocked_s or 0.0, sample.latency_s or 0.0)
        if name in (Rung.ALLOC, Rung.FORK) and slow >= PRESSED_S:
            self.pressed_s = t
        self.rungs[name], self.seen[name] = sample, t
        return resumed

    def _take_power(self, t: float, sample: RungSample) -> bool:
        """Take an answer about the power state; without an answer the old state stays."""
        power = PowerState.of(sample.detail)
        if power is PowerState.UNKNOWN:
            self.is_unanswered = self.is_unanswered or sample.blocked_s is None or sample.blocked_s >= BLOCKED_S
            return False
        self.answered_s, self.is_unanswered = t, False
        if power is self.power:
            return False
        resumed = self.power is PowerState.PAUSED
        if resumed:
            self.moved_s = max(self.moved_s, t)
        self.power, self.power_word, self.power_s = power, sample.detail, t
        return resumed

    def progress(self, t: float, done: WorkloadProgress) -> bool:
        """Take the workload's progress; returns whether there was any."""
        moved = done.ops != self.ops or done.finished != self.finished
        if moved:
            self.moved_s = t
        self.ops, self.workers, self.finished = done.ops, done.workers, done.finished
        self.failed, self.alive = done.failed, done.alive
        self.peak = max(self.peak, self.alive)
        return moved

    def heartbeat(self, t: float, beat: Heartbeat) -> None:
        """Take a heartbeat; `ticks` has the time of the newest tick of each processor."""
        self.beat_s = t
        self.ticks = tuple(t - age for age in beat.ticks)

    def forgive(self, lag: float, now: float) -> None:
        """Do not count `lag` seconds as silence: the harness did not listen, so the host may have reported."""
        self.moved_s = min(now, self.moved_s + lag)
        self.seen = {rung: min(now, seen + lag) for rung, seen in self.seen.items()}
        if self.beat_s is not None:
            self.beat_s = min(now, self.beat_s + lag)
        self.ticks = tuple(min(now, tick + lag) for tick in self.ticks)

    def has_died(self, now: float) -> bool:
        """Whether the workload once made progress and none of its processes exists any more."""
        return bool(self.workers and self.ops) and self.alive == 0 and now - self.moved_s >= DEATH_S

    @property
    def lost(self) -> int:
        """Workers that ended without a report; workers that have not begun and zombies do not count."""
        ever = self.workers if self.ops and self.alive == 0 else self.peak
        return max(0, ever - self.finished - self.failed - self.alive)

    def blocked_for(self, rung: str, now: float) -> float:
        """Seconds since a rung became blocked, 0.0 if it answers."""
        sample = self.rungs.get(rung)
        if sample is None or sample.blocked_s is None:
            return 0.0
        return sample.blocked_s + max(0.0, now - self.seen.get(rung, now))

    def unheard(self, now: float) -> float:
        """Seconds without a heartbeat since the last pause ended; a guest that was just resumed starts at 0."""
        if self.beat_s is None or self.power is PowerState.PAUSED:
            return 0.0
        return now - max(self.beat_s, self.power_s)

    def silence(self, now: float) -> float:
        """The part of `unheard` that counts against the kernel: while power was known to be on, on a sure channel."""
        if not self.silence_is_proof:
            return 0.0
        unknown = now - self.answered_s if self.is_unanswered else 0.0
        return max(0.0, self.unheard(now) - unknown)

    def stuck_processor(self, now: float, limit: float) -> tuple[int, float] | None:
        """A processor without a tick for `limit` seconds despite heartbeats, and the time of its last tick."""
        if self.power is PowerState.PAUSED or self.unheard(now) >= limit:
            return None
        for number, tick in enumerate(self.ticks):
            if now - max(tick, self.power_s) >= limit:
                return number, tick
        return None

    def stuck_work(self, now: float) -> float:
        """Seconds for which deferred work has not ended although tasks got memory; without memory no worker starts."""
        if self.power is PowerState.PAUSED:
            return 0.0
        return min(self.blocked_for(Rung.WORK, now), now - self.pressed_s, now - self.power_s)

    @property
    def dead_agent(self) -> str:
        """The agent's state as seen by a session begun after the last beat, if that explains the silence; else ""."""
        sample = self.rungs.get(Rung.SHELL)
        if self.beat_s is None or sample is None or not sample.ok or sample.agent is None or sample.age_s is None:
            return ""
        if self.seen[Rung.SHELL] - sample.age_s < self.beat_s + FRESH_S:
            return ""
        return DEAD_AGENT.get(sample.agent, "")
