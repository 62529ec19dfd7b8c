"""A guest and an owned host on one link: storage goes over it either way, and both are gone and home afterwards."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from harness.model.clock import Deadline
from harness.model.options import resolve
from harness.model.verdict import VerdictKind
from harness.physical import reservation
from harness.physical.survey import differences, survey
from harness.providers import read_inventory
from harness.results.store import RunStore
from harness.storage.nbd import NbdDisk
from harness.trial.plan import Plan
from harness.trial.run import run_trial
from harness.verdicts.policy import Policy
from harness.workloads.steady import Steady
from tests.testbed.rack import hosts, inventory, shell

pytestmark = pytest.mark.physical
DISK = NbdDisk()
LOAD = Steady(host="client", mode="write", path=DISK.path, block=65536, limit_s=20.0)


@pytest.mark.parametrize(("topology", "owned"), [("guest-client", "m4"), ("guest-server", "m3")])
def test_storage_over_a_link_of_both_kinds(topology: str, owned: str, state: Path, tmp_path: Path) -> None:
    login = shell(owned, hosts()[owned])
    try:
        before = survey(login, owned, programs=(), deadline=Deadline.after(120.0))
        given = {"state": str(state), "results": str(tmp_path)}
        settings = resolve(given, flag="--", environ=os.environ, ini={}, cwd=tmp_path, root=tmp_path).settings
        found = read_inventory(inventory()).topology(topology)
        plan = Plan(name=topology, topology=found, storage=DISK, workload=LOAD, policy=Policy(time_limited=True))
        store = RunStore.create(tmp_path, manifest={})
        verdict = run_trial(plan, settings=settings, store=store)
        assert verdict.kind is VerdictKind.SURVIVED, verdict
        print(json.dumps({"topology": topology, "summary": verdict.summary}))
        assert reservation.look(login, Deadline.after(60.0)).is_free
        assert differences(before, survey(login, owned, programs=(), deadline=Deadline.after(120.0))) == ()
    finally:
        login.close()
