"""The experiment's course with fakes and a clock of our own: what it ends on, and what it does then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import pytest
from fakes import (
    FakeClock,
    Log,
    agent_of,
    hypervisor_of,
    make_site,
    make_topology,
    no_answer,
    shell_of,
)

from harness.faults.base import Fault
from harness.faults.guest import Fence, LinkDown, Pause, PowerOff
from harness.model.errors import DeadlineExceeded, InfraError
from harness.model.events import TrialFacts
from harness.model.history import Kind
from harness.model.measure import Measure
from harness.model.power import PowerState
from harness.model.storage_protocols import StorageProtocol
from harness.model.topology import Topology
from harness.model.verdict import VerdictKind
from harness.site.target import Site
from harness.storage.base import ServedBy, StorageProbe
from harness.trial.event_router import EventRouter
from harness.trial.experiment import Experiment
from harness.trial.plan import Plan
from harness.trial.ticker import Ticker
from harness.verdicts.judge import judge
from harness.verdicts.policy import Policy
from harness.workloads.base import ProgressFile

POLICY = Policy(critical_tasks=("thrash",))
WORKERS = 4


@dataclass
class FakeStorage:
    """Storage that notes what is done to it."""

    done: list[str] = field(default_factory=list)
    critical_tasks: tuple[str, ...] = ()
    broken: bool = False
    bound_s: float = 0.0

    def describe(self) -> str:
        return "fake storage"

    @property
    def protocol(self) -> StorageProtocol | None:
        return None

    def served_by(self, topology: Topology) -> ServedBy:
        return {}

    def set_up(self, site: Site) -> StorageProbe:
        if self.broken:
            raise InfraError("c1: no storage here")
        self.done.append("up")
        return StorageProbe(
            host="c1",
            spec={"path": "/dev/fake", "offset": 0, "write": False},
            counters={"fake": "/sys/fake"},
            evidence=("/proc/fake",),
        )

    def baseline(self, site: Site) -> float:
        return 4000.0

    def tear_down(self, site: Site) -> None:
        self.done.append("down")


@dataclass
class FakeWorkload:
    """A load of which `course` says what the guest tells as time goes by."""

    course: Callable[[float], None]
    clock: FakeClock
    limit_s: float = 200.0
    critical_tasks: tuple[str, ...] = ("thrash",)
    own: float | None = None

    def describe(self) -> str:
        return "fake load"

    def prepare(self, site: Site) -> ProgressFile:
        return ProgressFile(host="c1", path="/dev/shm/p", workers=WORKERS, log="/log")

    def baseline(self, site: Site) -> float | None:
        return self.own

    def launch(self, site: Site) -> None:
        self.clock.at_each = self.course


class ByHand(Ticker):
    """Without threads: the test ticks."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        pass

    def check(self) -> None:
        pass


class Trial:
    """A trial on fakes. The guest beats twice a second; `stop_at`, `finish_at` and so on change its course."""

    def __init__(self, folder: Path, *, faults: tuple[Fault, ...] = (), policy: Policy = POLICY) -> None:
        self.clock = FakeClock(0.0)
        self.log = Log(self.clock, policy)
        self.site = replace(make_site(make_topology()), failure=lambda: self.failure)
        self.target = self.site.targets["c1"]
        self.agent = agent_of(self.target)
        self.router = EventRouter(self.site.topology, self.log.recorder, self.clock)
        self.storage = FakeStorage()
        self.workload = FakeWorkload(self.tell, self.clock)
        self.failure: Exception | None = None
        self.stop_at = self.finish_at = self.silent_at = float("inf")
        self.back_at = self.crawl_at = self.stuck_at = float("inf")
        self.at: dict[float, Callable[[], object]] = {}
        self.ops, self.alive, self._beaten, self._ticked = 0, WORKERS, -1.0, -1.0
        self.begins = True
        self.steal = 0.0  # the share of the time that its processor waits for this machine
        self.plan = Plan(
            name="fake",
            topology=self.site.topology,
            storage=self.storage,
            workload=self.workload,
            faults=faults,
            policy=policy,
        )
        self.folder = folder
        self.agent.on["sysrq"] = self._print
        self.agent.on["kill"] = self._die

    def _print(self, order: dict[str, object]) -> None:
        self.router.on_console("c1", b"sysrq: Show Something\n")

    def _die(self, order: dict[str, object]) -> None:
        self.alive = 0

    def tell(self, now: float) -> None:
        for when in sorted(when for when in self.at if when <= now):
            self.at.pop(when)()
        if now - self._ticked >= 1.0:
            self._ticked = now
            hypervisor_of(self.target).processors = ((0, int(self.steal * now * 1e9)),)
            self.ticker.tick()
        if now - self._beaten < 0.5 or now >= self.silent_at or hypervisor_of(self.target).power is not PowerState.ON:
            return
        self._beaten = now
        stopped = self.stop_at <= now < self.back_at and self.alive > 0
        self.ops += 0 if stopped else 3 if now >= self.crawl_at else 100
        finished = WORKERS if now >= self.finish_at else 0
        storage = [0.1, now - self.stop_at if stopped else None, 0, ""]
        work = [self.ops, self.ops * 4096, WORKERS, finished, 0, self.alive] if self.begins else None
        for host, done in (("c1", work), ("s1", None)):
            beat = {"b": 1, "u": now, "c": [0.2, max(0.2, now - self.stuck_at)]}
            self.router.on_record(host, {**beat, "p": {"storage": storage} if done else {}, "w": done})

    def run(self) -> VerdictKind:
        self.log.recorder.emit(TrialFacts(name="fake", policy=self.plan.policy.to_dict()))
        self.ticker = ByHand.of(self.site, self.router.agents, self.log.recorder, self.clock)
        experiment = Experiment(
            self.plan,
            self.site,
            {},
            self.log.recorder,
            self.log.watch,
            self.router,
            self.folder,
            self.clock,
            self.ticker,
        )
        experiment.run()
        self.router.close()
        return judge(self.log.events).kind

    @property
    def phases(self) -> list[str]:
        return [event.data["name"] for event in self.log.of(Kind.PHASE) if event.data["state"] == "begin"]


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path)


def test_a_survivor(trial: Trial) -> None:
    trial.finish_at = 20.0
    assert trial.run() is VerdictKind.SURVIVED
    assert trial.phases == ["storage", "baseline", "load", "teardown"] and trial.storage.done == ["up", "down"]
    assert 20.0 <= trial.log.recorder.now < 22.0
    (baseline,) = trial.log.of(Kind.BASELINE)
    assert baseline.data["ops_per_s"] == 4000.0


def test_everything_that_is_needed_late_is_prepared_before_the_load(trial: Trial) -> None:
    trial.finish_at = 5.0
    trial.run()
    asked = dict(reversed(trial.agent.asked))  # the first of each
    assert asked["storage"] == {"path": "/dev/fake", "offset": 0, "write": False}
    assert asked["stats"] == {"files": {"fake": "/sys/fake"}} and asked["progress"] == {"path": "/dev/shm/p"}


def test_the_storage_probe_lets_go_before_the_storage_is_taken_down(trial: Trial) -> None:
    trial.finish_at = 5.0
    trial.agent.on["storage"] = lambda order: trial.storage.done.append(str(order["path"]))
    trial.run()
    assert trial.storage.done == ["up", "/dev/fake", "None", "down"]


def test_a_deadlock_that_killing_frees(trial: Trial) -> None:
    trial.stop_at = 15.0
    assert trial.run() is VerdictKind.DEADLOCKED
    assert trial.phases == ["storage", "baseline", "load", "evidence", "recovery", "evidence"]
    assert trial.storage.done == ["up"]
    load_end = next(e.t for e in trial.log.of(Kind.PHASE) if (e.data["name"], e.data["state"]) == ("load", "end"))
    assert 14.5 + POLICY.stop_s + POLICY.patience_s <= load_end < 15.0 + POLICY.stop_s + POLICY.patience_s + 2.0
    names = {path.name for path in trial.folder.iterdir()}
    assert {"c1.registers.txt", "c1.sysrq-w.txt", "c1.sysrq-t.txt", "c1.proc-fake.txt"} <= names
    verbs = trial.agent.verbs
    assert verbs.index("sysrq") < verbs.index("hold") < verbs.index("kill")


def test_a_deadlock_of_which_the_agent_says_nothing_any_more_is_not_named(trial: Trial) -> None:
    trial.stop_at = 15.0
    trial.agent.replies |= {"hold": no_answer("hold"), "kill": no_answer("kill")}
    assert trial.run() is VerdictKind.INCONCLUSIVE


def test_a_livelock(trial: Trial) -> None:
    trial.stop_at = 15.0

    def hold(order: dict[str, object]) -> None:
        trial.back_at = trial.clock.now

    trial.agent.on["hold"] = hold
    assert trial.run() is VerdictKind.LIVELOCKED
    assert "kill" not in trial.agent.verbs


def test_a_stall_within_the_patience(trial: Trial) -> None:
    trial.stop_at, trial.back_at, trial.finish_at = 10.0, 18.0, 30.0
    assert trial.run() is VerdictKind.STALLED
    assert "recovery" not in trial.phases


def test_a_load_out_of_time(trial: Trial) -> None:
    trial.workload.limit_s = 12.0
    assert trial.run() is VerdictKind.INCONCLUSIVE
    assert [event.data["seconds"] for event in trial.log.of(Kind.LIMIT)] == [12.0]


@pytest.mark.parametrize(("steal", "took_s"), [(0.0, 12.0), (0.6, 30.0), (0.9, 48.0)])
@pytest.mark.parametrize("time_limited", [False, True])
def test_the_time_of_a_load_that_has_an_end_is_what_it_was_granted_to_four_times_as_much(
    tmp_path: Path, steal: float, took_s: float, time_limited: bool
) -> None:
    trial = Trial(tmp_path, policy=replace(POLICY, time_limited=time_limited))
    trial.workload.limit_s, trial.steal = 12.0, steal
    assert trial.run() is (VerdictKind.SURVIVED if time_limited else VerdictKind.INCONCLUSIVE)
    begun = next(e.t for e in trial.log.of(Kind.PHASE) if (e.data["name"], e.data["state"]) == ("load", "begin"))
    expected = 12.0 if time_limited else took_s
    assert expected - 1.0 <= _load_end(trial) - begun < expected + 2.0


def test_a_stop_that_is_under_way_is_seen_to_its_end(trial: Trial) -> None:
    trial.stop_at, trial.workload.limit_s = 8.0, 12.0
    assert trial.run() is VerdictKind.DEADLOCKED
    assert trial.log.of(Kind.LIMIT) == []


def test_the_workloads_own_baseline_goes_before_the_storages(trial: Trial) -> None:
    trial.finish_at, trial.workload.own = 5.0, 77.0
    trial.run()
    (baseline,) = trial.log.of(Kind.BASELINE)
    assert baseline.data["ops_per_s"] == 77.0


def test_a_crawl_needs_no_recovery_probe(trial: Trial) -> None:
    trial.crawl_at = 15.0
    assert trial.run() is VerdictKind.LIVELOCKED
    assert trial.phases == ["storage", "baseline", "load", "evidence"] and "hold" not in trial.agent.verbs


def _load_end(trial: Trial) -> float:
    return next(e.t for e in trial.log.of(Kind.PHASE) if (e.data["name"], e.data["state"]) == ("load", "end"))


def test_what_a_protocol_may_wait_for_is_waited_for(tmp_path: Path) -> None:
    trial = Trial(tmp_path, policy=replace(POLICY, bound_s=40.0))
    trial.stop_at = 15.0
    assert trial.run() is VerdictKind.DEADLOCKED
    assert 15.0 + 40.0 + POLICY.patience_s - 1.0 <= _load_end(trial) < 15.0 + 40.0 + POLICY.patience_s + 2.0


def test_what_a_protocol_may_wait_for_has_to_be_granted(tmp_path: Path) -> None:
    trial = Trial(tmp_path, policy=replace(POLICY, bound_s=40.0))
    trial.stop_at, trial.steal = 15.0, 0.6
    assert trial.run() is VerdictKind.DEADLOCKED
    assert 15.0 + 40.0 / 0.4 - 1.0 <= _load_end(trial) < 15.0 + 40.0 / 0.4 + 4.0


@pytest.mark.parametrize(("outage_s", "entitled_s"), [(60.0, 60.0), (200.0, 120.0)])
def test_after_a_heal_there_is_time_for_the_next_retransmission(
    tmp_path: Path, outage_s: float, entitled_s: float
) -> None:
    trial = Trial(tmp_path, faults=(LinkDown(role="client", link="lan", at_s=15.0, heal_after_s=outage_s),))
    trial.stop_at, trial.workload.limit_s = 15.0, 600.0
    assert trial.run() is VerdictKind.DEADLOCKED
    end = 15.0 + outage_s + entitled_s + POLICY.patience_s
    assert end - 1.0 <= _load_end(trial) < end + 2.0


@pytest.mark.parametrize("at_s", [44.9, 60.0])
def test_a_fault_at_the_end_of_the_load_is_still_seen(tmp_path: Path, at_s: float) -> None:
    fault = LinkDown(role="client", link="lan", at_s=at_s)
    trial = Trial(tmp_path, faults=(fault,), policy=replace(POLICY, time_limited=True))
    trial.stop_at, trial.workload.limit_s = at_s, 45.0
    assert trial.run() is VerdictKind.DEADLOCKED


@dataclass(frozen=True, kw_only=True)
class SlowFault:
    """A fault that is injected over a shell which takes its time."""

    clock: FakeClock
    at_s: float
    takes_s: float
    heal_after_s: float | None = None

    def describe(self) -> str:
        return "slow fault"

    def heal(self, site: Site) -> None:
        pass

    def inject(self, site: Site) -> None:
        self.clock.sleep(self.takes_s)


def test_a_fault_that_takes_long_to_inject_is_seen_as_long_as_any_other(tmp_path: Path) -> None:
    trial = Trial(tmp_path, policy=replace(POLICY, time_limited=True))
    trial.plan = replace(trial.plan, faults=(SlowFault(clock=trial.clock, at_s=40.0, takes_s=60.0),))
    trial.stop_at, trial.workload.limit_s = 100.0, 45.0
    assert trial.run() is VerdictKind.DEADLOCKED


def test_a_host_that_is_gone_is_not_healed(tmp_path: Path) -> None:
    trial = Trial(tmp_path, faults=(LinkDown(role="client", link="lan", at_s=15.0, heal_after_s=60.0),))
    trial.at[20.0] = lambda: setattr(hypervisor_of(trial.target), "power", PowerState.GONE)
    assert trial.run() is VerdictKind.LOST
    assert [event.data["action"] for event in trial.log.of(Kind.FAULT)] == ["inject"]


def test_a_processor_that_stands_still(trial: Trial) -> None:
    trial.stuck_at = 12.0
    assert trial.run() is VerdictKind.LOCKED_UP
    assert trial.phases[-1] == "evidence" and trial.agent.verbs[-1] == "sysrq", "nothing but the kernel's own words"


def test_an_endless_load_runs_its_time(tmp_path: Path) -> None:
    trial = Trial(tmp_path, policy=replace(POLICY, time_limited=True))
    trial.workload.limit_s = 12.0
    assert trial.run() is VerdictKind.SURVIVED


def test_a_crash_is_waited_for_until_it_is_printed(trial: Trial) -> None:
    panic = b"[   12.000000] Kernel panic - not syncing: Attempted to kill init! exitcode=0x7\n"
    trial.at[12.0] = lambda: trial.router.on_console("c1", panic)
    trial.silent_at = 12.0
    assert trial.run() is VerdictKind.CRASHED
    assert trial.phases[-1] == "evidence" and hypervisor_of(trial.target).acts == ["registers"]
    assert 16.0 <= trial.log.recorder.now < 18.0


def test_a_host_that_falls_silent_gets_no_orders(trial: Trial) -> None:
    trial.silent_at = 12.0
    assert trial.run() is VerdictKind.LOCKED_UP
    assert trial.phases[-1] == "evidence" and "hold" not in trial.agent.verbs and "read" in trial.agent.verbs


def test_an_oom_kill(trial: Trial) -> None:
    line = (
        b"[   12.000001] python3 invoked oom-killer: gfp_mask=0x140cca(GFP_HIGHUSER_MOVABLE), order=0\n"
        b"[   12.000007] Out of memory: Killed process 77 (thrash) total-vm:1kB, anon-rss:1kB\n"
        b"[   12.100000] something else\n"
    )
    trial.at[12.0] = lambda: trial.router.on_console("c1", line)
    assert trial.run() is VerdictKind.OOM_KILLED


def test_storage_that_cannot_be_set_up_ends_it(trial: Trial) -> None:
    trial.storage.broken = True
    with pytest.raises(InfraError, match="no storage here"):
        trial.run()
    assert trial.phases == ["storage"]


def test_a_load_that_never_begins_is_no_hang(trial: Trial) -> None:
    trial.begins = False
    with pytest.raises(InfraError, match="c1: the workload did not begin: its log is empty"):
        trial.run()
    assert trial.storage.done == ["up", "down"]


def test_a_listener_that_fails_ends_it(trial: Trial) -> None:
    def fail() -> None:
        trial.failure = OSError("No space left on device")

    trial.at[8.0] = fail
    with pytest.raises(InfraError, match="No space left"):
        trial.run()


def test_a_log_is_not_fetched_over_a_shell_that_blocks(trial: Trial) -> None:
    trial.stop_at = 15.0
    trial.run()
    assert [command for command in shell_of(trial.target).commands if "tail" in command]


def test_faults_are_injected_and_healed_at_their_times(tmp_path: Path) -> None:
    trial = Trial(tmp_path, faults=(LinkDown(role="client", link="lan", at_s=3.0, heal_after_s=2.0),))
    trial.finish_at = 20.0
    assert trial.run() is VerdictKind.SURVIVED
    assert hypervisor_of(trial.target).acts == ["link lan down", "link lan up"]
    inject, heal = trial.log.of(Kind.FAULT)
    assert (inject.data["action"], heal.data["action"]) == ("inject", "heal")
    assert 3.0 <= inject.t < 3.6 and 5.0 <= heal.t < 5.6


def test_the_load_does_not_end_before_its_faults_are_healed(tmp_path: Path) -> None:
    trial = Trial(tmp_path, faults=(LinkDown(role="client", link="lan", at_s=10.0, heal_after_s=10.0),))
    trial.finish_at = 5.0
    trial.run()
    assert len(trial.log.of(Kind.FAULT)) == 2 and trial.log.recorder.now >= 20.0


@pytest.mark.parametrize(
    ("fault", "kind"),
    [(Pause(role="client", at_s=4.0), VerdictKind.INCONCLUSIVE), (PowerOff(role="client", at_s=4.0), VerdictKind.LOST)],
)
def test_a_guest_that_is_paused_or_powered_off(tmp_path: Path, fault: Fault, kind: VerdictKind) -> None:
    trial = Trial(tmp_path, faults=(fault,))
    assert trial.run() is kind
    assert "evidence" not in trial.phases


def test_a_pause_that_is_healed_is_no_stall(tmp_path: Path) -> None:
    trial = Trial(tmp_path, faults=(Pause(role="client", at_s=4.0, heal_after_s=8.0),))
    trial.finish_at = 30.0
    assert trial.run() is VerdictKind.SURVIVED


@dataclass
class Noting:
    """A tuning, or an instrument, that notes what is done to it beside the storage; `figure` None: it cannot tell."""

    done: list[str]
    figure: float | None = 7.0
    at_s: float = 0.0
    heal_after_s: float | None = None

    def describe(self) -> str:
        return "something of the test"

    def prepare(self, site: Site) -> None:
        self.done.append("prepare")

    def launch(self, site: Site) -> None:
        self.done.append("launch")

    def end(self, site: Site) -> None:
        self.done.append("end")

    def inject(self, site: Site) -> None:
        self.done.append("inject")

    def heal(self, site: Site) -> None:
        self.done.append("heal")

    def measures(self, site: Site, evidence: Path) -> list[Measure]:
        if self.figure is None:
            raise InfraError("c1: nobody answers")
        return [Measure(name="figure of the test", value=self.figure, unit="s")]


def test_a_tuning_is_there_before_the_storage_and_undone_after_it(trial: Trial) -> None:
    trial.plan = replace(trial.plan, tunings=(Noting(trial.storage.done),))
    trial.finish_at = 5.0
    trial.run()
    assert trial.storage.done == ["prepare", "inject", "up", "down", "heal"]


def test_what_was_tuned_is_undone_after_a_failure_as_well(trial: Trial) -> None:
    trial.plan = replace(trial.plan, tunings=(Noting(trial.storage.done),))
    trial.storage.broken = True
    with pytest.raises(InfraError, match="no storage here"):
        trial.run()
    assert trial.storage.done == ["prepare", "inject", "down", "heal"]


def test_once_a_host_did_not_answer_the_rest_of_the_tear_down_is_not_waited_for_as_long(trial: Trial) -> None:
    given: list[float] = []

    def tear_down(site: Site) -> None:
        given.append(site.deadline(10).remaining)
        raise DeadlineExceeded(host="c1", command="swapoff", problem="no answer in time")

    tuning = Noting(trial.storage.done)
    tuning.heal = lambda site: given.append(site.deadline(10).remaining)  # type: ignore[method-assign]
    trial.plan = replace(trial.plan, tunings=(tuning,))
    trial.storage.tear_down = tear_down  # type: ignore[method-assign]
    trial.finish_at = 5.0
    trial.run()
    assert given == [pytest.approx(10, abs=0.5), pytest.approx(1, abs=0.5)]


def test_a_host_that_hangs_is_not_tidied_up(trial: Trial) -> None:
    trial.plan = replace(trial.plan, tunings=(Noting(trial.storage.done),))
    trial.stop_at = 15.0
    trial.run()
    assert trial.storage.done == ["prepare", "inject", "up"]


def test_an_instrument_is_launched_with_the_load_and_tells_its_figures_before_the_tear_down(trial: Trial) -> None:
    done: list[str] = []
    trial.plan = replace(trial.plan, instruments=(Noting(done),))
    trial.finish_at = 5.0
    assert trial.run() is VerdictKind.SURVIVED
    assert done == ["prepare", "launch", "end"] and trial.phases[-2:] == ["measure", "teardown"]
    (measure,) = trial.log.of(Kind.MEASURE)
    assert measure.data == {"name": "figure of the test", "value": 7.0, "unit": "s"}


def test_an_instrument_is_ended_before_the_storage_goes_after_a_failure_too(trial: Trial) -> None:
    trial.plan = replace(trial.plan, instruments=(Noting(trial.storage.done),))
    trial.begins = False
    with pytest.raises(InfraError):
        trial.run()
    assert trial.storage.done == ["up", "prepare", "launch", "end", "down"]


def test_figures_are_asked_for_after_a_hang_too(trial: Trial) -> None:
    trial.plan = replace(trial.plan, instruments=(Noting([]),))
    trial.stop_at = 15.0
    assert trial.run() is VerdictKind.DEADLOCKED
    assert trial.phases[-1] == "measure" and len(trial.log.of(Kind.MEASURE)) == 1


def test_figures_that_cannot_be_had_are_noted_and_change_nothing(trial: Trial) -> None:
    trial.plan = replace(trial.plan, instruments=(Noting([], figure=None), Noting([])))
    trial.finish_at = 5.0
    assert trial.run() is VerdictKind.SURVIVED
    assert [event.data["text"] for event in trial.log.of(Kind.NOTE)] == ["no figures of Noting: c1: nobody answers"]
    assert len(trial.log.of(Kind.MEASURE)) == 1


def test_a_load_that_ran_its_time_is_ended_before_its_storage_goes_and_that_is_no_loss(tmp_path: Path) -> None:
    trial = Trial(tmp_path, policy=replace(POLICY, time_limited=True))
    trial.workload.limit_s = 12.0
    assert trial.run() is VerdictKind.SURVIVED
    assert trial.alive == 0 and trial.storage.done == ["up", "down"]


def test_a_host_that_was_fenced_is_not_lost(tmp_path: Path) -> None:
    trial = Trial(tmp_path, faults=(Fence(role="server", at_s=4.0),))
    trial.finish_at = 20.0
    assert trial.run() is VerdictKind.SURVIVED
    assert [event.host for event in trial.log.of(Kind.FENCE)] == ["s1"]
    assert hypervisor_of(trial.site.targets["s1"]).power is PowerState.GONE
