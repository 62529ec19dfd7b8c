"""A guest and an owned host on one link: storage goes over it either way, and both are gone and home afterwards."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from harness.faults.base import Fault
from harness.faults.guest import LinkDown
from harness.model.errors import UsageError
from harness.model.options import resolve
from harness.model.settings import Settings
from harness.model.verdict import Verdict, VerdictKind
from harness.physical.survey import differences
from harness.providers import read_inventory
from harness.results.store import RunStore
from harness.storage.nbd import NbdDisk
from harness.trial.plan import Plan
from harness.trial.run import run_trial
from harness.verdicts.policy import Policy
from harness.workloads.steady import Steady
from tests.testbed.rack import inventory, is_free, look

OWNED = "m4"
OUTAGE_S = 20.0
pytestmark = pytest.mark.physical
DISK = NbdDisk()


@pytest.fixture
def settings(state: Path, tmp_path: Path) -> Settings:
    """Settings with folders of its own."""
    given = {"state": str(state), "results": str(tmp_path)}
    return resolve(given, flag="--", environ=os.environ, ini={}, cwd=tmp_path, root=tmp_path).settings


def plan(topology: str, *faults: Fault, limit_s: float = 20.0) -> Plan:
    load = Steady(host="client", mode="write", path=DISK.path, block=65536, limit_s=limit_s)
    found = read_inventory(inventory()).topology(topology)
    policy = Policy(time_limited=True)
    return Plan(name=topology, topology=found, storage=DISK, workload=load, faults=faults, policy=policy)


def run(plan: Plan, settings: Settings) -> Verdict:
    verdict = run_trial(plan, settings=settings, store=RunStore.create(settings.results, manifest={}))
    print(json.dumps({"topology": plan.name, "verdict": verdict.kind, "summary": verdict.summary}))
    return verdict


@pytest.mark.parametrize("topology", ["guest-client", "guest-server"])
def test_storage_over_a_link_of_both_kinds(topology: str, settings: Settings) -> None:
    before = look(OWNED)
    verdict = run(plan(topology), settings)
    assert verdict.kind is VerdictKind.SURVIVED, verdict
    assert is_free(OWNED)
    assert differences(before, look(OWNED)) == ()


def test_the_cable_of_a_guest_is_pulled_for_a_while(settings: Settings) -> None:
    """Nothing is written for as long, which is less than requests may wait: so the link did carry the storage."""
    fault = LinkDown(role="client", link="cluster", at_s=8.0, heal_after_s=OUTAGE_S)
    verdict = run(plan("guest-client", fault, limit_s=70.0), settings)
    assert verdict.kind is VerdictKind.SURVIVED, verdict
    assert [stall.ended and stall.duration_s >= OUTAGE_S for stall in verdict.stalls] == [True], verdict


def test_the_cable_of_a_machine_is_not_pulled(settings: Settings) -> None:
    refused = "LinkDown needs LinkControl, which host 'm4' does not offer; of its topology, these do: small"
    with pytest.raises(UsageError, match=refused):
        run(plan("guest-client", LinkDown(role="server", link="cluster")), settings)
