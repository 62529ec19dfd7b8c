"""Waits that a storage's protocol may rightly make: how long they are, and that they are no hang."""

from __future__ import annotations

from itertools import pairwise

import pytest

from harness.faults.base import Fault
from harness.faults.servers import NbdServerRestart, NfsServerRestart
from harness.model.events import FaultStep, WorkloadProgress
from harness.model.history import Event, select
from harness.model.settings import Settings
from harness.model.topology import MIB, Host, Link, Topology
from harness.model.verdict import VerdictKind
from harness.results.store import RunStore
from harness.storage.nbd import NbdDisk
from harness.storage.nfs import NfsDisk
from harness.trial import Plan, run_trial
from harness.verdicts.policy import Policy
from harness.workloads.steady import Steady

AT_S, GONE_S = 8.0, 8.0
PAIR = Topology(
    name="pair",
    hosts=(Host(name="client", memory=256 * MIB, cpus=2), Host(name="server", memory=384 * MIB)),
    roles={"client": "client", "server": "server"},
    links=(Link(name="cluster", hosts=("client", "server")),),
)


def _time_of(events: list[Event], action: str) -> float:
    return next(event.t for event, step in select(events, FaultStep) if step.action == action)


def _longest_stop(events: list[Event], since: float) -> tuple[float, float]:
    """How long the workload did nothing at a stretch, and when that ended."""
    beats = [(event.t, done.ops or 0) for event, done in select(events, WorkloadProgress) if event.t >= since]
    moved = [beats[0][0]]
    for (_, before), (t, after) in pairwise(beats):
        if after > before:
            moved.append(t)
    return max((end - begin, end) for begin, end in pairwise(moved))


@pytest.mark.parametrize(
    ("storage", "fault"),
    [
        (NfsDisk(), NfsServerRestart(at_s=AT_S, heal_after_s=GONE_S)),
        (NbdDisk(), NbdServerRestart(at_s=AT_S, heal_after_s=GONE_S)),
    ],
    ids=["nfs", "nbd"],
)
def test_a_writer_goes_on_within_the_bound(storage: NfsDisk | NbdDisk, fault: Fault, settings: Settings) -> None:
    plan = Plan(
        name="bounded wait",
        topology=PAIR,
        storage=storage,
        workload=Steady(path=storage.path, limit_s=60.0),
        faults=(fault,),
        policy=Policy(time_limited=True),
    )
    store = RunStore.create(settings.results, manifest={})
    verdict = run_trial(plan, settings=settings, store=store)
    (trial,) = store.trials()
    events = trial.read_history()
    gone, back = _time_of(events, "inject"), _time_of(events, "heal")
    seconds, end = _longest_stop(events, gone - 2.0)
    print(f"gone for {back - gone:.1f} s, the longest stop {seconds:.1f} s: {verdict.summary}")
    assert end > back and seconds > (back - gone) / 2, "the writer did wait for the server"
    assert seconds < storage.bound_s
    assert verdict.kind is VerdictKind.SURVIVED, verdict.summary
