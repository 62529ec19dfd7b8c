"""What is known of hardware is said: in a look at a host, in the history of a trial, and beside its verdict."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from surveys import interface, survey
from sysfs_trees import surveyed

from harness.fabric.hca import RdmaFacts
from harness.model.events import HostRecord
from harness.model.history import Event, Kind
from harness.model.owned_host import OwnedHost
from harness.physical.channels import facts_of
from harness.physical.inspection import Inspection
from harness.physical.survey import HostSurvey
from harness.report.read.hardware import known_bad
from harness.site.facts import HostFacts

SPEC = OwnedHost(address="ib1.example", host_key="ssh-ed25519 AAAA", links={"lan": "ib0"})


def of(rdma: RdmaFacts, kernel: str = "6.1.0-40-amd64") -> HostSurvey:
    return survey(rdma=rdma, kernel=kernel, interfaces=(interface("ib0", type="32"), interface("ib1", type="32")))


def history(facts: HostFacts) -> list[Event]:
    record = HostRecord(facts=facts.to_dict())
    data = json.loads(json.dumps(asdict(record)))
    return [Event(1.0, Kind.HOST, "ib1", data)]


def seen(found: HostSurvey | None) -> Inspection:
    return Inspection(
        name="ib1", survey=found, reserved="nobody", power="none", console="none", kexec="possible", against=()
    )


def test_an_inspection_names_adapters_ports_interfaces_and_what_is_known(tmp_path: Path) -> None:
    lines = dict(seen(of(surveyed("mthca", tmp_path))).lines())
    assert lines["adapter mthca0"] == "InfiniBand ib_mthca MT25204 MT_03B0140001, firmware 1.2.0"
    assert lines["port mthca0/1"] == "ACTIVE, LinkUp, 20 Gb/sec (4X DDR), LID 10, subnet manager at 2"
    assert lines["IPoIB ib0"] == "datagram, MTU 2044, mthca0/1"
    assert lines["RDMA drivers"] == "inbox"
    assert "romaco.ca" in lines["known bad"] and lines["known bad"].startswith("mthca0 (ib0): ")


def test_an_inspection_says_a_narrow_slot_and_a_missing_subnet_manager(tmp_path: Path) -> None:
    slow = dict(seen(of(surveyed("mlx4", tmp_path / "a"))).lines())
    assert slow["adapter mlx4_0"].endswith("PCI x4 at 8.0 GT/s PCIe, and could be x8 at 8.0 GT/s PCIe")
    lonely = dict(seen(of(surveyed("qib", tmp_path / "b"))).lines())
    assert lonely["port qib0/1"] == "INIT, LinkUp, 40 Gb/sec (4X QDR), no subnet manager has seen it"


def test_json_of_an_inspection_has_the_facts_and_what_is_known(tmp_path: Path) -> None:
    found = json.loads(json.dumps(seen(of(surveyed("mthca", tmp_path))).to_dict()))
    assert found["survey"]["rdma"]["hcas"][0]["ports"][0]["counters"]["symbol_error"] == 0
    assert [one["name"] for one in found["known_bad"]] == ["mthca-allocates-in-transmit"]
    assert seen(None).to_dict()["known_bad"] == []


def test_the_history_says_of_a_link_what_it_leads_over(tmp_path: Path) -> None:
    facts = facts_of(SPEC, of(surveyed("mlx4", tmp_path)), {"lan": "10.77.0.1/24"}, 1.0)
    link = facts.interfaces["lan"]
    assert (link.device, link.port, link.rate, link.mode) == ("mlx4_0", 1, "40 Gb/sec (4X QDR)", "connected")
    assert facts.known_bad == ()


def test_what_is_known_stands_beside_the_verdict_if_the_link_uses_it(tmp_path: Path) -> None:
    rdma = surveyed("mthca", tmp_path)
    (line,) = known_bad(history(facts_of(SPEC, of(rdma), {"lan": "10.77.0.1/24"}, 1.0)))
    assert line.startswith("ib1, link lan over mthca0: ib_mthca allocates") and "only other hardware" in line


def test_hardware_that_no_link_uses_is_in_the_history_only(tmp_path: Path) -> None:
    spec = replace(SPEC, links={"lan": "ib1"})
    facts = facts_of(spec, of(surveyed("mlx4", tmp_path), "3.10.0"), {"lan": "10.77.0.1/24"}, 1.0)
    assert [one.interfaces for one in facts.known_bad] == [("ib0",)]
    assert known_bad(history(facts)) == []


@pytest.mark.parametrize("entries", [None, 3, "x", ["x"], [{"links": []}], [{}]])
def test_a_damaged_record_says_nothing(entries: object) -> None:
    assert known_bad([Event(1.0, Kind.HOST, "ib1", {"facts": {"known_bad": entries}})]) == []
