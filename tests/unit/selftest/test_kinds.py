"""Every kind's plan, at fifty random instants: it can be run, and its truth can be known."""

from __future__ import annotations

from random import Random

import pytest

from harness.faults.kernel import VARIANT, KernelFault
from harness.model.verdict import VerdictKind
from harness.selftest.hangs import FILLED_S
from harness.selftest.kinds import KINDS
from harness.selftest.plans import EARLIEST_S, LATEST_S
from harness.selftest.truth import Group, Truth
from harness.storage.mapped import MappedDisk

ALL = [pytest.param(truth, id=truth.name) for truth in KINDS.values()]
WANTED = {
    Group.LIVE: {VerdictKind.SURVIVED},
    Group.DEADLOCK: {VerdictKind.DEADLOCKED},
    Group.STALL: {VerdictKind.STALLED},
    Group.LIVELOCK: {VerdictKind.LIVELOCKED},
    Group.LOCKUP: {VerdictKind.LOCKED_UP},
    Group.CRASH: {VerdictKind.CRASHED},
    Group.OOM: {VerdictKind.OOM_KILLED, VerdictKind.INCONCLUSIVE},
    Group.INSTRUMENT: {VerdictKind.SURVIVED, VerdictKind.INCONCLUSIVE, VerdictKind.LOST},
    Group.BOUNDED: {VerdictKind.SURVIVED, VerdictKind.DEADLOCKED, VerdictKind.IO_FAILED},
}


@pytest.mark.parametrize("truth", ALL)
def test_a_plan_has_what_its_storage_and_faults_need(truth: Truth) -> None:
    for seed in range(50):
        plan = truth.named(f"{truth.name}/1", Random(seed))
        host = plan.topology.host(plan.topology.roles["client"])
        assert plan.policy.time_limited, "nothing but what is done to it may end it"
        assert plan.name == f"{truth.name}/1"
        if isinstance(plan.storage, MappedDisk):
            assert host.scratch
        if any(isinstance(fault, KernelFault) for fault in plan.faults):
            assert VARIANT in host.modules
        for fault in plan.faults:
            role = getattr(fault, "role", "client")
            assert role in plan.topology.roles
            link = getattr(fault, "link", None)
            assert link is None or link in {segment.name for segment in plan.topology.links}


@pytest.mark.parametrize("truth", ALL)
def test_the_instant_is_random_within_the_load(truth: Truth) -> None:
    plans = [truth.plan(Random(seed)) for seed in range(50)]
    assert all(truth.faulty == bool(plan.faults) for plan in plans)
    for plan in plans:
        for fault in plan.faults:
            assert EARLIEST_S <= fault.at_s <= FILLED_S + LATEST_S
            assert fault.at_s + (fault.heal_after_s or 0.0) + 40 <= plan.workload.limit_s
            assert fault.heal_after_s is not None or not truth.heals
    if truth.faulty:
        assert len({plan.faults[0].at_s for plan in plans}) > 25


@pytest.mark.parametrize("truth", ALL)
def test_the_truth_is_one_that_its_group_can_have(truth: Truth) -> None:
    assert set(truth.accepted) <= WANTED[truth.group]
    assert truth.about


def test_every_group_has_its_kinds() -> None:
    assert {truth.group for truth in KINDS.values()} == set(Group)
    assert all(name == truth.name for name, truth in KINDS.items())
