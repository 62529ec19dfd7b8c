"""A real fail-over: two guests that share a disk, one of them fenced while the other and a client write."""

from __future__ import annotations

import pytest

from harness.faults.base import Fault
from harness.faults.failover import AnswerFencing, TakeOver
from harness.faults.guest import Fence
from harness.model.measure import Value
from harness.model.settings import Settings
from harness.model.topology import MIB, Host, Link, SharedDisk, Topology
from harness.model.verdict import Verdict, VerdictKind
from harness.results.store import RunStore
from harness.storage.cluster.pacemaker import Pacemaker
from harness.storage.cluster.scripted import Scripted
from harness.storage.cluster.service import FOLDER
from harness.storage.failover import FailoverNfs
from harness.trial import Plan, run_trial
from harness.workloads.acknowledged import Acknowledged

pytestmark = pytest.mark.slow

FENCE_S = 8.0
TAKE_OVER = TakeOver(command=Scripted().command, at_s=FENCE_S + 2.0)
TOPOLOGY = Topology(
    name="failover",
    hosts=(
        Host(name="user", memory=256 * MIB),
        Host(name="node1", memory=384 * MIB, cpus=2),
        Host(name="node2", memory=384 * MIB, cpus=2),
    ),
    roles={"client": "user", "first": "node1", "second": "node2"},
    links=(Link(name="cluster", hosts=("user", "node1", "node2")),),
    shared_disk=SharedDisk(hosts=("node1", "node2"), size=256 * MIB),
)


def fail_over(storage: FailoverNfs, then: Fault, settings: Settings) -> tuple[Verdict, dict[str, Value]]:
    """One trial, its verdict and its figures."""
    load = Acknowledged(
        folder=storage.folder,
        seconds=FENCE_S + storage.bound_s,
        hosts=("client", "second"),
        fault_s=FENCE_S,
        disk=storage.from_disk,
    )
    faults = (Fence(role="first", at_s=FENCE_S), then)
    plan = Plan(name="fail-over", topology=TOPOLOGY, storage=storage, workload=load, faults=faults)
    store = RunStore.create(settings.results, manifest={})
    verdict = run_trial(plan, settings=settings, store=store)
    (trial,) = store.trials()
    return verdict, {measure.name: measure.value for measure in trial.read_measures()}


@pytest.mark.parametrize(
    ("storage", "then"),
    [
        (FailoverNfs(driver=Scripted()), TAKE_OVER),
        (FailoverNfs(driver=Pacemaker()), AnswerFencing(folder=FOLDER, at_s=FENCE_S + 0.5)),
    ],
    ids=["scripted", "pacemaker"],
)
def test_whoever_writes_goes_on_and_nothing_acknowledged_is_lost(
    storage: FailoverNfs, then: Fault, settings: Settings
) -> None:
    verdict, figures = fail_over(storage, then, settings)
    assert verdict.kind is VerdictKind.SURVIVED, verdict.summary
    for role in ("client", "second"):
        pause = float(figures[f"pause at the fault of writer 0 of {role}"])
        assert 0 < pause <= storage.bound_s, "the writer was without its server, and no longer than that"
    assert int(figures["acknowledged writes"]) > 0 and figures["workers that came to their end"] == 4
    assert figures["lost writes, read back by whoever wrote them"] == figures["lost writes, read from the disk"] == 0


def test_an_asynchronous_export_is_caught_in_its_promise(settings: Settings) -> None:
    verdict, figures = fail_over(FailoverNfs(sync=False), TAKE_OVER, settings)
    assert verdict.kind is VerdictKind.SURVIVED, verdict.summary
    assert int(figures["lost writes, read from the disk"]) > 0
