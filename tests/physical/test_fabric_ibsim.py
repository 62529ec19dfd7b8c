"""Fabrics of two switches and four hosts, simulated by ibsim, as the real tools of infiniband-diags see them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.fabric.golden import Difference, Golden, compare, health
from harness.fabric.view import Fabric
from harness.model.clock import Deadline
from harness.model.errors import UsageError
from harness.physical.fabric import look
from tests.testbed.ibsim import PAIRS, TRUNK, SimulatedFabric, simulated, topology

pytestmark = [pytest.mark.physical, pytest.mark.smoke]
LOOK_S = 60.0


@pytest.fixture
def fabric() -> Iterator[SimulatedFabric]:
    with simulated(topology()) as one:
        yield one


def seen(fabric: SimulatedFabric, host: str = "host1") -> Fabric:
    return look(fabric.host(host), host, deadline=Deadline.after(LOOK_S))


def golden_of(view: Fabric) -> Golden:
    return Golden.from_json(Golden(fabric=view).to_json())


def kinds(found: list[Difference]) -> set[str]:
    return {one.kind for one in found}


def test_a_healthy_fabric(fabric: SimulatedFabric) -> None:
    view = seen(fabric)
    assert str(view) == "2 switches, 4 adapters, 5 links"
    assert {node.name for node in view.nodes} == {"sw0", "sw1", "host1", "host2", "host3", "host4"}
    assert len({link.key for link in view.links}) == 5 and all(link.gbps == 120.0 for link in view.links)
    assert view.manager is not None and view.manager.state == "MASTER"
    assert view.traffic["PortXmitPkts"] > 0 and view.errors == ()
    assert len(view.down) == 2 * 8 - 6, "ports of the switches without a cable"
    assert health(view) == [] and compare(golden_of(view), view) == []


def test_another_host_sees_the_same(fabric: SimulatedFabric) -> None:
    assert compare(golden_of(seen(fabric)), seen(fabric, "host4")) == []


def test_a_link_goes_down_and_comes_back(fabric: SimulatedFabric) -> None:
    golden = golden_of(seen(fabric))
    fabric.say('Unlink "host2"[1]')
    found = compare(golden, seen(fabric))
    assert kinds(found) == {"missing"}
    assert [one.text for one in found] == ["host2 is gone", "the link host2 port 1 – sw0 port 2 is gone"]
    (own,) = compare(golden, seen(fabric, "host2"))[:1]
    assert own.kind == "down" and own.text.startswith("no link: host2 port 1 is down")
    fabric.say('ReLink "host2"[1]')
    assert "missing" not in kinds(compare(golden, seen(fabric)))


def test_counters_of_errors(fabric: SimulatedFabric) -> None:
    before = golden_of(seen(fabric))
    fabric.say('PerformanceSet "sw0"[2] PortCounters.SymbolErrorCounter=100')
    fabric.say('PerformanceSet "sw1"[8] PortCounters.LinkDownedCounter=2')
    view = seen(fabric)
    (one,) = compare(before, view)
    assert one == Difference(kind="errors", text="sw0 port 2: SymbolErrorCounter is 100; up to 10 is allowed")
    assert health(view) == [one], "two downs are below the threshold"
    after = golden_of(view)
    assert compare(after, seen(fabric)) == [], "a golden fabric may have errors; what counts is how they rise"
    fabric.say('PerformanceSet "sw0"[2] PortCounters.SymbolErrorCounter=111')
    (risen,) = compare(after, seen(fabric))
    assert "SymbolErrorCounter is 111 since the golden one, from 100" in risen.text


def test_a_cable_is_moved_while_all_is_up() -> None:
    # The simulator ends if somebody connects ports of unlike speed, and a port without a cable has the lowest.
    with simulated(topology(slow=(*PAIRS, TRUNK))) as fabric:
        golden = golden_of(seen(fabric))
        fabric.say('Unlink "host2"[1]')
        fabric.say('Link "host2"[1] "sw1"[3]')
        (moved,) = [one for one in compare(golden, seen(fabric)) if one.kind != "state"]
    assert moved.text == "the cable host2 port 1 – sw0 port 2 is now host2 port 1 – sw1 port 3"


def test_cables_in_other_ports_of_another_topology(fabric: SimulatedFabric) -> None:
    golden = golden_of(seen(fabric))
    swapped = (("sw0", 1, "host1", 1), ("sw0", 2, "host3", 1), ("sw1", 1, "host2", 1), PAIRS[3], ("sw0", 7, "sw1", 8))
    with simulated(topology(swapped)) as other:
        found = compare(golden, seen(other))
    assert kinds(found) == {"moved"}
    assert sorted(one.text for one in found) == [
        "the cable host2 port 1 – sw0 port 2 is now host2 port 1 – sw1 port 1",
        "the cable host3 port 1 – sw1 port 1 is now host3 port 1 – sw0 port 2",
        "the cable sw0 port 8 – sw1 port 8 is now sw0 port 7 – sw1 port 8",
    ]


def test_a_link_that_is_slower(fabric: SimulatedFabric) -> None:
    golden = golden_of(seen(fabric))
    with simulated(topology(slow=(TRUNK,))) as slower:
        view = seen(slower)
    (against,) = compare(golden, view)
    assert against.text == "sw0 port 8 – sw1 port 8 runs at 4X 2.5 Gbps, and did at 12X 10.0 Gbps"
    (alone,) = health(view)
    assert alone.text == "sw0 port 8 – sw1 port 8 runs at 4X 2.5 Gbps, and both ends could be 12X 10.0 Gbps"


def test_without_a_subnet_manager() -> None:
    with simulated(topology(), managed=False) as lonely:
        view = seen(lonely)
        tool = lonely.host("host1").run("ibqueryerrors", deadline=Deadline.after(LOOK_S), check=False)
    assert tool.exit_code == 0, "which is why its exit code is no answer"
    assert view.manager is None and view.errors is None
    (one,) = health(view)
    assert one.kind == "manager" and one.text.startswith("no subnet manager answers")


def test_a_host_outside_of_any_fabric_and_one_without_the_tools(fabric: SimulatedFabric) -> None:
    (fabric.folder / "bin/perfquery").unlink()
    with pytest.raises(UsageError, match=r"^host host1: it lacks perfquery; install infiniband-diags there$"):
        seen(fabric)
    real = f"exec {fabric.root}/lib64/ld-linux-x86-64.so.2 --library-path {fabric.root}/usr/lib/x86_64-linux-gnu"
    path = fabric.folder / "bin/iblinkinfo"
    path.write_text(f'#!/bin/sh\n{real} {fabric.root}/usr/sbin/iblinkinfo "$@"\n')
    with pytest.raises(UsageError, match="iblinkinfo cannot send MADs: ib_umad is not loaded"):
        seen(fabric)
