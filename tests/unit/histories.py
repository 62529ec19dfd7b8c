"""Synthetic histories of a trial, told second by second, for the tests of watch and judge."""

from __future__ import annotations

from harness.model.history import Event, Kind, Rung
from harness.model.power import PowerState
from harness.verdicts.policy import Policy

AGENT_RUNGS = (Rung.ALLOC, Rung.FORK, Rung.WORK, Rung.DISK, Rung.NET, Rung.STORAGE)
CRITICAL = ("thrash", "nbd-server")
WORKERS = 16


class Story:
    """What one host tells, second by second. `now` is trial time; `blocks` has since when which rung is blocked."""

    def __init__(self, policy: Policy | None = None, host: str = "c1") -> None:
        self.events: list[Event] = []
        self.host = host
        self.now = 0.0
        self.ops = 0
        self.rate = 500.0
        self.finished = 0
        self.failed = 0
        self.alive = WORKERS
        self.blocks: dict[str, float] = {}
        self.power = "running"  # as earlier histories have it; a new one has the values of PowerState
        self.unanswered_s: float | None = None  # since when nobody says whether it has power
        self.beats = True
        self.working = False
        self.stuck: dict[int, float] = {}
        self.agent_s: float | None = None
        self.agent = "R"
        self.steal: float | None = None  # the share of each second that its processor waits for this machine
        self.waited_s = 0.0
        policy = policy or Policy(critical_tasks=CRITICAL)
        self.add(Kind.TRIAL, "", name="synthetic", policy=policy.to_dict())

    def add(self, kind: Kind, host: str | None = None, /, **data: object) -> Story:
        self.events.append(Event(round(self.now, 4), kind, self.host if host is None else host, data))
        return self

    @property
    def is_on(self) -> bool:
        return PowerState.of(self.power) is PowerState.ON

    def known(self, *, silence_is_proof: bool = True, power_source: str = "libvirt") -> Story:
        """From now on it is a history of today: it says what is known of its host."""
        self.power = PowerState.of(self.power).value
        return self.add(Kind.HOST, silence_is_proof=silence_is_proof, power_source=power_source)

    def phase(self, name: str, state: str = "begin") -> Story:
        return self.add(Kind.PHASE, "", name=name, state=state)

    def prepared(self, baseline: float = 4000.0) -> Story:
        """Boot, storage and baseline, then the load begins."""
        for name in ("boot", "storage", "baseline"):
            self.phase(name)
            self.run(2)
            if name == "baseline":
                self.add(Kind.BASELINE, ops_per_s=baseline)
            self.phase(name, "end")
        return self.phase("load")

    def loaded(self, seconds: float = 5.0) -> Story:
        """The load has run for some seconds."""
        self.prepared()
        self.working = True
        return self.run(seconds)

    def run(self, seconds: float) -> Story:
        """Let the time pass in steps of half a second; every second each rung is told."""
        for step in range(round(seconds * 2)):
            self.now += 0.5
            if self.beats and self.is_on:
                self._beat()
            if step % 2:
                self._rungs()
        return self

    def _beat(self) -> None:
        ticks = [self.now - self.stuck[cpu] if cpu in self.stuck else 0.1 for cpu in range(2)]
        self.add(Kind.HEARTBEAT, seq=1, uptime_s=self.now, ticks=ticks)
        if self.working:
            self.ops += int(self.rate / 2)
            counts = {"workers": WORKERS, "finished": self.finished, "failed": self.failed, "alive": self.alive}
            self.add(Kind.PROGRESS, ops=self.ops, **counts)

    def _rungs(self) -> None:
        running = self.is_on
        reported: dict[str, object] = {}
        since = self.unanswered_s
        if self.steal is not None:
            self.waited_s += self.steal
            reported = {"processors": [[0, int(self.waited_s * 1e9)]]}
        reported["blocked_s"] = None if since is None else self.now - since
        reported["detail"] = self.power if since is None else ""
        self.add(Kind.RUNG, rung=Rung.VCPU.value, ok=running, latency_s=0.0, **reported)
        heard = AGENT_RUNGS if self.beats and running else ()
        for rung in (*heard, Rung.SHELL):
            self._sample(rung)

    def _sample(self, rung: Rung) -> None:
        since = self.blocks.get(rung)
        blocked = None if since is None else round(self.now - since, 3)
        reported = {}
        if rung is Rung.SHELL:
            self.agent_s = self.now - 0.2 if blocked is None else self.agent_s
            reported = {"agent": self.agent, "age_s": self.now - (self.agent_s or 0.0)}
        self.add(Kind.RUNG, rung=rung.value, ok=True, latency_s=0.01, blocked_s=blocked, detail="", **reported)

    def block(self, *rungs: Rung) -> Story:
        for rung in rungs:
            self.blocks[rung] = self.now
        return self

    def unblock(self) -> Story:
        self.blocks.clear()
        return self

    def stop(self, *rungs: Rung) -> Story:
        """From now on no progress, and these rungs are blocked."""
        self.rate = 0.0
        return self.block(*rungs)

    def go_on(self) -> Story:
        self.rate = 500.0
        return self.unblock()

    def finish(self) -> Story:
        """Every worker that has not failed comes to its end."""
        self.finished = WORKERS - self.failed
        return self.run(1)

    def load_ends(self) -> Story:
        return self.phase("load", "end")

    def console(self, kind: str, title: str, **more: object) -> Story:
        return self.add(Kind.CONSOLE, kind=kind, title=title, **more)

    def evidence(self, seconds: float = 20.0, beats: bool = True) -> Story:
        """The harness makes the kernel print; the agent's beat may pause meanwhile."""
        self.phase("evidence")
        heard, self.beats = self.beats, beats and self.beats
        self.run(seconds)
        self.beats = heard
        return self.phase("evidence", "end")

    def recovery(self, *, hold: bool | None, release: bool | None = None) -> Story:
        """The recovery probe; None: the step was not taken."""
        self.phase("recovery")
        for step, recovered in (("hold", hold), ("release", release)):
            if recovered is not None:
                self.run(3)
                self.add(Kind.RECOVERY, step=step, done=True, recovered=recovered, after_s=3.0, detail="")
        return self.phase("recovery", "end")


def survivor() -> Story:
    """Swaps heavily: alloc and fork blocked for 46 s, a login takes 10 s, gaps in progress of 1.5 s; finishes."""
    story = Story().loaded().block(Rung.ALLOC, Rung.FORK)
    for second in range(46):
        story.rate = 400.0 if second % 2 else 0.0
        if second % 12 == 0:
            story.block(Rung.SHELL)
        elif second % 12 == 10:
            story.blocks.pop(Rung.SHELL)
        story.run(1)
    return story.go_on().run(3).finish().load_ends()


def deadlock(*, freed: bool = True) -> Story:
    """Storage stops, for good; only killing the workload helps, or not even that."""
    story = Story().loaded(10).stop(Rung.STORAGE).run(16).load_ends().evidence()
    return story.recovery(hold=False, release=freed).evidence(4)
