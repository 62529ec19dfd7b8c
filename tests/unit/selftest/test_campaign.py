"""A campaign: what is run, that nothing is dropped, and that it goes on where it was cut off."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from selftest_runners import dawdle, die_on_forks, fail_to_boot, fill_the_disk, survive

from harness.model.errors import HostEnvironmentError, UsageError
from harness.model.history import Event, Kind
from harness.model.settings import Settings
from harness.results.store import RunStore
from harness.selftest.campaign import Campaign, begin, choose, errors_of, finished, missing, schedule
from harness.selftest.kinds import KINDS
from harness.selftest.lanes import Job, Lane, Outcome, Runner, plan_of, run_job
from harness.selftest.score import ERROR

TRIALS = ["live.cpu/1", "live.fork/1", "live.fork/2"]


class Thread(Lane):
    """A lane in this process, where it does not matter in which one a trial runs."""

    def __init__(self) -> None:
        super().__init__()
        self._threads = ThreadPoolExecutor(1)

    def submit(self, job: Job) -> Future[Outcome]:
        return self._threads.submit(run_job, job)

    def close(self) -> None:
        self._threads.shutdown()


class Log:
    """A watcher that notes what it is told; may interrupt once a trial has begun."""

    def __init__(self, interrupt_at: Path | None = None) -> None:
        self.begun: list[str] = []
        self.outcomes: list[Outcome] = []
        self.together = 0
        self._interrupt_at = interrupt_at

    def began(self, trial: str) -> None:
        self.begun.append(trial)
        self.together = max(self.together, len(self.begun) - len(self.outcomes))

    def ended(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def waiting(self) -> None:
        if self._interrupt_at is not None and self._interrupt_at.exists():
            raise KeyboardInterrupt


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state=tmp_path / "state", cache=tmp_path / "cache", results=tmp_path / "results")


def make_run(settings: Settings, trials: Sequence[str] = TRIALS) -> RunStore:
    return begin(settings.results, trials, 7, {"harness": "test"})


def run(
    store: RunStore, settings: Settings, runner: Runner, lanes: Sequence[Lane] | None = None, log: Log | None = None
) -> Log:
    log = log or Log()
    Campaign(store, settings, lanes or [Thread()], log, runner).run()
    return log


def test_the_order_is_random_but_the_seeds() -> None:
    truths = list(KINDS.values())
    one, again, other = (schedule(truths, repeats=2, live=9, seed=seed) for seed in (1, 1, 2))
    assert one == again != other
    assert sorted(one) == sorted(other)


def test_live_runs_are_spread_over_the_live_kinds() -> None:
    counts = Counter(trial.rpartition("/")[0] for trial in schedule(list(KINDS.values()), repeats=5, live=21, seed=0))
    live = [count for name, count in counts.items() if name.startswith("live.")]
    assert (sum(live), max(live) - min(live)) == (21, 1)
    assert {count for name, count in counts.items() if not name.startswith("live.")} == {5}


def test_kinds_are_chosen_by_globs_and_a_vain_one_is_named() -> None:
    assert {truth.group for truth in choose(["stall.*", "live.cpu"])} == {"stall", "live"}
    assert len(choose([])) == len(KINDS)
    with pytest.raises(UsageError, match=r"'stal\.\*'"):
        choose(["live.*", "stal.*"])


def test_a_plan_follows_from_name_and_seed() -> None:
    one, again, other = (plan_of("deadlock.link/3", seed) for seed in (1, 1, 2))
    assert one == again != other
    assert (one.name, one.expected) == ("deadlock.link/3", "deadlock")
    assert plan_of("deadlock.link/4", 1).faults != one.faults
    assert plan_of("instrument.qemu-killed/1", 1).expected == "survives"


def test_every_trial_runs_in_two_processes_that_are_not_this_one(settings: Settings) -> None:
    store = make_run(settings, [f"live.cpu/{number}" for number in range(6)])
    log = run(store, settings, survive, [Lane(), Lane()])
    assert sorted(log.begun) == sorted(outcome.trial for outcome in log.outcomes)
    assert len(log.begun) == 6
    assert {outcome.outcome for outcome in log.outcomes} == {"SURVIVED"}
    processes = {(trial.read_verdict() or {})["process"] for trial in store.trials()}
    assert len(processes) == 2
    assert os.getpid() not in processes
    assert not missing(store)


def test_what_raises_is_an_error_and_is_not_run_again(settings: Settings) -> None:
    store = make_run(settings)
    log = run(store, settings, fail_to_boot)
    assert [outcome.outcome for outcome in log.outcomes] == [ERROR] * 3
    assert errors_of(store)["live.cpu/1"] == "BootError: alone: no prompt"
    assert not list(finished(store)), "its INCONCLUSIVE verdict is none"
    assert not missing(store)


def test_a_process_that_dies_costs_its_own_trial_only(settings: Settings) -> None:
    store = make_run(settings)
    log = run(store, settings, die_on_forks, [Lane()])
    assert Counter(outcome.outcome for outcome in log.outcomes) == {ERROR: 2, "SURVIVED": 1}
    assert errors_of(store).keys() == {"live.fork/1", "live.fork/2"}


def test_a_machine_that_can_run_nothing_ends_the_campaign_and_nothing_is_counted(settings: Settings) -> None:
    store = make_run(settings)
    with pytest.raises(HostEnvironmentError, match=f"--resume {store.name}"):
        run(store, settings, fill_the_disk)
    assert missing(store) == TRIALS
    assert not errors_of(store)


def test_an_interrupt_ends_the_trial_under_way_and_the_rest_can_be_resumed(settings: Settings) -> None:
    store = make_run(settings)
    with pytest.raises(KeyboardInterrupt):
        run(store, settings, dawdle, [Lane()], Log(interrupt_at=store.path / "trials" / "live.cpu-1" / "began"))
    assert (store.path / "trials" / "live.cpu-1" / "cleaned-up").exists()
    assert missing(store) == TRIALS
    log = run(store, settings, survive)
    assert log.begun == TRIALS
    assert [name for name, _ in finished(store)] == TRIALS


def test_only_what_is_missing_is_run_again(settings: Settings) -> None:
    store = make_run(settings)
    run(store, settings, survive)
    cut = store.trial("live.swap/1")
    cut.append(Event(0.0, Kind.TRIAL, data={}))
    cut.close()
    store.merge_manifest({"selftest": {"trials": [*TRIALS, "live.swap/1"]}})
    assert run(store, settings, survive).begun == ["live.swap/1"]


def test_a_solo_trial_has_the_machine_for_itself(settings: Settings) -> None:
    solo = "instrument.machine-overloaded/1"
    assert KINDS["instrument.machine-overloaded"].solo
    for trials in ([solo, "live.cpu/1"], ["live.cpu/1", solo]):
        assert run(make_run(settings, trials), settings, survive, [Thread(), Thread()]).together == 1


def test_no_lane_waits_for_a_trial_that_must_be_alone(settings: Settings) -> None:
    solo = "instrument.machine-overloaded/1"
    log = run(make_run(settings, ["live.cpu/1", solo, "live.cpu/2"]), settings, survive, [Thread(), Thread()])
    assert log.begun == ["live.cpu/1", "live.cpu/2", solo]
    assert log.together == 2


def test_a_run_of_something_else_is_refused(settings: Settings) -> None:
    store = RunStore.create(settings.results, manifest={"harness": "x"})
    with pytest.raises(UsageError, match="not a run of `harness selftest`"):
        missing(store)


def test_a_run_with_kinds_of_another_version_cannot_be_resumed(settings: Settings) -> None:
    store = make_run(settings, ["live.gone/1"])
    with pytest.raises(UsageError, match=r"no kind live\.gone"):
        run(store, settings, survive)
