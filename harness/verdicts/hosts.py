"""What one host told, the newest of everything."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.model.events import Heartbeat, HostRecord, Rung, RungSample, WorkloadProgress
from harness.model.power import PowerState

BLOCKED_S = 1.0  # a probe that is under way for less is nothing to speak of
PRESSED_S = 3.0  # a page or a process that takes so long says that memory is short
DEATH_S = 1.0  # without processes and without progress: it cannot be about to report its end
FRESH_S = 1.0  # a session that began so long after the last beat says something about the time without beats
# Neither ready (R) nor asleep (S) is here: it sleeps for ever if its timer is that of a processor without interrupts.
DEAD_AGENT = {"": "gone", "Z": "dead", "X": "dead", "T": "stopped", "t": "stopped", "D": "blocked"}


@dataclass(slots=True)
class HostView:
    """The newest of everything that one host told."""

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
        """Take what is known of the host itself."""
        self.silence_is_proof, self.power_source = record.silence_is_proof, record.power_source

    def rung(self, t: float, sample: RungSample) -> bool:
        """Take a sample of one rung; returns whether it says that the guest was resumed."""
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
        """Take an answer about its power; no answer says nothing, and leaves what was known."""
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
        """Take what the workload did; returns whether it moved."""
        moved = done.ops != self.ops or done.finished != self.finished
        if moved:
            self.moved_s = t
        self.ops, self.workers, self.finished = done.ops, done.workers, done.finished
        self.failed, self.alive = done.failed, done.alive
        self.peak = max(self.peak, self.alive)
        return moved

    def heartbeat(self, t: float, beat: Heartbeat) -> None:
        """Take a beat; `ticks` are the times of the newest tick of each processor."""
        self.beat_s = t
        self.ticks = tuple(t - age for age in beat.ticks)

    def forgive(self, lag: float, now: float) -> None:
        """Nobody was listening: what was not heard in that time may well have been said."""
        self.moved_s = min(now, self.moved_s + lag)
        self.seen = {rung: min(now, seen + lag) for rung, seen in self.seen.items()}
        if self.beat_s is not None:
            self.beat_s = min(now, self.beat_s + lag)
        self.ticks = tuple(min(now, tick + lag) for tick in self.ticks)

    def has_died(self, now: float) -> bool:
        """Whether its workload worked once, and none of its processes is there any more."""
        return bool(self.workers and self.ops) and self.alive == 0 and now - self.moved_s >= DEATH_S

    @property
    def lost(self) -> int:
        """Workers that ended without a word; one that has not begun yet is none of them, nor is a zombie."""
        ever = self.workers if self.ops and self.alive == 0 else self.peak
        return max(0, ever - self.finished - self.failed - self.alive)

    def blocked_for(self, rung: str, now: float) -> float:
        """Seconds for which a rung has been blocked, 0.0 if it answers."""
        sample = self.rungs.get(rung)
        if sample is None or sample.blocked_s is None:
            return 0.0
        return sample.blocked_s + max(0.0, now - self.seen.get(rung, now))

    def unheard(self, now: float) -> float:
        """Seconds without a heartbeat, not counting a pause; a guest that was just resumed gets its time too."""
        if self.beat_s is None or self.power is PowerState.PAUSED:
            return 0.0
        return now - max(self.beat_s, self.power_s)

    def silence(self, now: float) -> float:
        """How much of `unheard` says something of its kernel: while its power was known to be on, on a sure channel."""
        if not self.silence_is_proof:
            return 0.0
        unknown = now - self.answered_s if self.is_unanswered else 0.0
        return max(0.0, self.unheard(now) - unknown)

    def stuck_processor(self, now: float, limit: float) -> tuple[int, float] | None:
        """A processor that has not ticked for `limit` seconds though the heartbeat goes on, and when it last did."""
        if self.power is PowerState.PAUSED or self.unheard(now) >= limit:
            return None
        for number, tick in enumerate(self.ticks):
            if now - max(tick, self.power_s) >= limit:
                return number, tick
        return None

    def stuck_work(self, now: float) -> float:
        """For how long deferred work has not ended though tasks got memory all the time: no worker starts without."""
        if self.power is PowerState.PAUSED:
            return 0.0
        return min(self.blocked_for(Rung.WORK, now), now - self.pressed_s, now - self.power_s)

    @property
    def dead_agent(self) -> str:
        """How a session that began after the last beat found the agent, if that explains the silence; else ""."""
        sample = self.rungs.get(Rung.SHELL)
        if self.beat_s is None or sample is None or not sample.ok or sample.agent is None or sample.age_s is None:
            return ""
        if self.seen[Rung.SHELL] - sample.age_s < self.beat_s + FRESH_S:
            return ""
        return DEAD_AGENT.get(sample.agent, "")
