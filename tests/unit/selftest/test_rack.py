"""The self-test's plans on hosts of an inventory: what is taken from it, and which kinds it rules out."""

from __future__ import annotations

import pickle
from pathlib import Path
from random import Random

import pytest

from harness.faults.kernel import VARIANT
from harness.model.errors import UsageError
from harness.model.observe import Silent
from harness.model.settings import Settings
from harness.selftest.campaign import begin, choose, rack_of
from harness.selftest.kinds import KINDS
from harness.selftest.lanes import plan_of
from harness.selftest.rack import Rack

HOST = """
[[host]]
name = "{name}"
kind = "physical"
address = "192.0.2.{number}"
host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
disposable = true
links = {{ cluster = "eno2" }}
{more}
"""
SINGLE = '[[topology]]\nname = "single"\nroles = { client = "ib1", server = "ib1" }\n'
PAIR = """
[[topology]]
name = "pair"
roles = { client = "ib1", server = "ib2" }
links = [{ name = "cluster", hosts = ["ib1", "ib2"] }]
"""
SCRATCH = 'scratch = "/dev/disk/by-id/nvme-1"'


def rack(tmp_path: Path, *, more: str = SCRATCH, topologies: str = SINGLE + PAIR) -> Rack:
    hosts = HOST.format(name="ib1", number=1, more=more) + HOST.format(name="ib2", number=2, more="")
    path = tmp_path / "rack.toml"
    path.write_text(hosts + topologies)
    return Rack.read(path)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state=tmp_path / "state", cache=tmp_path / "cache", results=tmp_path / "results")


def against(found: Rack, settings: Settings, *kinds: str) -> dict[str, str]:
    return found.left_out(choose(kinds), settings, Silent())


def test_a_plan_keeps_all_but_its_hosts(tmp_path: Path) -> None:
    plan = plan_of("deadlock.dm-suspend/1", 7)
    put = rack(tmp_path).put(plan)
    assert put.topology.roles["client"] == "ib1" and put.topology.host("ib1").owned is not None
    assert (put.name, put.expected, put.faults, put.workload, put.policy) == (
        plan.name,
        plan.expected,
        plan.faults,
        plan.workload,
        plan.policy,
    )


def test_a_plan_of_two_hosts_goes_to_the_pair(tmp_path: Path) -> None:
    put = rack(tmp_path).put(plan_of("bounded.nfs-restart/1", 7))
    assert {host.name for host in put.topology.hosts} == {"ib1", "ib2"}


def test_modules_that_a_kind_replaces_go_to_the_host_that_plays_the_role(tmp_path: Path) -> None:
    put = rack(tmp_path, more='kernel = "debian:12"').put(plan_of("lockup.spin/1", 7))
    assert put.topology.host("ib1").modules == (VARIANT,)


def test_kinds_that_need_a_guest_are_left_out_with_the_reason(tmp_path: Path, settings: Settings) -> None:
    found = against(rack(tmp_path), settings, "instrument.*", "stall.5", "deadlock.dm-suspend", "live.cpu")
    assert "Pause needs Pausable, which host 'ib1' does not offer" in found["instrument.guest-paused"]
    assert "LinkDown needs LinkControl" in found["stall.5"]
    assert not found.keys() & {"deadlock.dm-suspend", "live.cpu", "instrument.agent-killed"}


@pytest.mark.parametrize(
    ("kind", "more", "topologies", "reason"),
    [
        ("deadlock.dm-suspend", "", SINGLE, "host ib1 has no scratch disk; name one in the inventory"),
        ("lockup.spin", SCRATCH, SINGLE, "host ib1 stays on a kernel of its owner's"),
        ("bounded.nfs-restart", SCRATCH, SINGLE, "no topology 'pair'"),
        ("live.cpu", SCRATCH, SINGLE.replace("client", "first"), "topology 'single' has no role client"),
    ],
)
def test_what_the_inventory_lacks_is_one_line(
    tmp_path: Path, settings: Settings, kind: str, more: str, topologies: str, reason: str
) -> None:
    found = against(rack(tmp_path, more=more, topologies=topologies), settings, kind)
    assert reason in found[kind] and "\n" not in found[kind]


def test_a_run_finds_its_hosts_again_wherever_it_is_resumed(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rack(tmp_path)
    store = begin(settings.results, ["live.cpu/1"], 7, {}, rack=Rack.read(Path("rack.toml")))
    monkeypatch.chdir("/")
    again = rack_of(store)
    assert again is not None and again.put(plan_of("live.cpu/1", 7)).topology.host("ib1").owned is not None
    (tmp_path / "rack.toml").unlink()
    with pytest.raises(UsageError, match=r"rack\.toml"):
        rack_of(store)


def test_a_run_on_guests_has_no_rack(settings: Settings) -> None:
    assert rack_of(begin(settings.results, ["live.cpu/1"], 7, {})) is None


def test_a_rack_reaches_a_lane_in_another_process(tmp_path: Path) -> None:
    again: Rack = pickle.loads(pickle.dumps(rack(tmp_path)))  # the pickle is made here
    truth = KINDS["live.cpu"]
    assert again.put(truth.plan(Random(1))) == rack(tmp_path).put(truth.plan(Random(1)))
