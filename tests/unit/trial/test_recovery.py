"""The recovery probe with fakes: what each step orders, what counts as back, and what is said when nobody answers."""

from __future__ import annotations

import pytest
from fakes import FakeClock, Log, agent_of, make_target, make_topology, no_answer

from harness.model.events import Heartbeat, Phase, Rung, RungSample, WorkloadProgress
from harness.model.history import Kind
from harness.trial.recovery import probe_recovery


class Stopped:
    """A host whose storage has stopped, and of which a second's samples come with every second of the clock."""

    def __init__(self, *, blocked: bool = True) -> None:
        self.clock = FakeClock(0.0)
        self.log = Log(self.clock)
        self.target = make_target(make_topology(), "c1")
        self.agent = agent_of(self.target)
        self.since: float | None = None
        self.alive = 16
        self._reported = 0.0
        self.log.recorder.emit(Phase(name="load", state="begin"))
        self.tell()
        self.since = 0.5 if blocked else None
        self.clock.at_each = self._pass
        while self.log.watch.open_stop is None:
            self.clock.sleep(0.25)
        self.log.recorder.emit(Phase(name="load", state="end"))
        self.log.recorder.emit(Phase(name="recovery", state="begin"))

    def _pass(self, now: float) -> None:
        if now - self._reported >= 1.0:
            self.tell()

    def tell(self) -> None:
        self._reported = now = self.clock.monotonic()
        emit = self.log.recorder.emit
        emit(Heartbeat(seq=1, uptime_s=now), "c1")
        emit(WorkloadProgress(ops=5, workers=16, alive=self.alive), "c1")
        blocked = None if self.since is None else now - self.since
        emit(RungSample(rung=Rung.STORAGE, ok=True, latency_s=0.1, blocked_s=blocked), "c1")

    def unblock(self, *_: object) -> None:
        self.since = None

    def die(self, *_: object) -> None:
        self.alive = 0
        self.since = None

    def probe(self) -> list[tuple[str, bool, bool]]:
        probe_recovery(self.target, self.log.watch, self.log.recorder, self.clock)
        return [(e.data["step"], e.data["done"], e.data["recovered"]) for e in self.log.of(Kind.RECOVERY, "c1")]


def test_what_comes_back_when_the_workload_is_held_is_not_killed() -> None:
    host = Stopped()
    host.agent.on["hold"] = host.unblock
    assert host.probe() == [("hold", True, True)]
    assert host.agent.verbs == ["hold"]


def test_what_comes_back_only_when_the_workload_is_killed() -> None:
    host = Stopped()
    host.agent.on["kill"] = host.die
    assert host.probe() == [("hold", True, False), ("release", True, True)]
    assert host.agent.verbs == ["hold", "kill"]
    hold, release = host.log.of(Kind.RECOVERY)
    assert hold.data["detail"] == "c1/storage" and hold.data["after_s"] >= host.log.policy.hold_s
    assert release.data["after_s"] < host.log.policy.release_s


def test_nothing_helps() -> None:
    host = Stopped()
    assert host.probe() == [("hold", True, False), ("release", True, False)]


def test_a_workload_that_does_not_die_has_not_released_anything() -> None:
    host = Stopped()
    host.agent.on["kill"] = host.unblock
    assert host.probe()[-1] == ("release", True, False)


def test_one_sample_that_slips_through_is_not_back() -> None:
    host = Stopped()

    def flicker(now: float) -> None:
        host.since = None if int(now) % 2 else now - 5.0
        host.tell()

    def hold(_: object) -> None:
        host.clock.at_each = flicker

    host.agent.on["hold"] = hold
    assert host.probe()[0] == ("hold", True, False)


def test_a_stop_in_which_nothing_blocked_cannot_come_back_by_holding() -> None:
    host = Stopped(blocked=False)
    host.agent.on["kill"] = host.die
    assert host.probe() == [("hold", True, False), ("release", True, True)]


@pytest.mark.parametrize("verb", ["hold", "kill"])
def test_an_agent_that_does_not_answer(verb: str) -> None:
    host = Stopped()
    host.agent.replies[verb] = no_answer(verb)
    steps = {step: (done, recovered) for step, done, recovered in host.probe()}
    step = {"hold": "hold", "kill": "release"}[verb]
    assert steps[step] == (False, False) and len(steps) == 2
    refused = next(event for event in host.log.of(Kind.RECOVERY) if event.data["step"] == step)
    assert "no answer" in refused.data["detail"]
