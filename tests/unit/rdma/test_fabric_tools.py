"""Outputs of infiniband-diags as data, and a host that is asked for them."""

from __future__ import annotations

import pytest
from fabrics import ERRORS, LINKS, NO_ANSWER, NO_PORT, NO_SM, NO_UMAD, NODES, PERFQUERY, REAL_LINKS, SMINFO, WELL, Tools

from harness.fabric.tools import counters_of, errors_of, links_of, manager_of, nodes_of
from harness.fabric.view import End, Node
from harness.model.clock import Deadline
from harness.model.errors import UsageError
from harness.physical.fabric import look


def test_a_link_that_both_ends_list_is_one() -> None:
    links, down = links_of(LINKS)
    assert [str(link) for link in links] == ["host4 port 1 – sw1 port 2", "sw0 port 8 – sw1 port 8"]
    first, second = links
    assert (first.width, first.speed, first.state, first.could_be) == ("4X", "2.5 Gbps", "Active", "12X 10.0 Gbps")
    assert first.gbps == 10.0 and second.gbps == 120.0
    assert (second.state, second.could_be) == ("Initialize", "")
    assert down == (End(guid="0x0000000000200001", port=3, name="sw1"),)


def test_lines_of_real_fabrics() -> None:
    links, down = links_of(REAL_LINKS)
    by_far = {end.name: link for link in links for end in link.ends}
    assert down == () and len(links) == 3
    assert by_far["MF0;switch-a:SX6036/U1"].gbps == pytest.approx(56.25)
    assert {str(end) for end in by_far["exe0001 HCA-1"].ends} == {
        "SwitchX -  Mellanox Technologies port 17",
        "exe0001 HCA-1 port 1",
    }
    assert by_far["exe0002 HCA-1"].could_be.startswith("FDR10 (Found link at QDR")


def test_what_is_no_link_is_left_out() -> None:
    assert links_of("nonsense\n0x1 x\n" + LINKS[:60]) == ((), ())


def test_counters_of_errors_without_the_sums() -> None:
    found = errors_of(ERRORS)
    assert [(one.name.split()[0], one.port) for one in found] == [
        ("sw0", 2),
        ("Infiniscale-IV", 5),
        ("Infiniscale-IV", 6),
    ]
    assert found[0].counters == {"SymbolErrorCounter": 100, "LinkDownedCounter": 2}
    assert found[2].counters["PortXmitData"] == 19892634015130


def test_nodes_counters_and_the_manager() -> None:
    assert nodes_of(NODES) == (
        Node(guid="0x0000000000200001", kind="Switch", name="sw1", ports=8),
        Node(guid="0x0000000000100006", kind="Ca", name="host4", ports=1),
    )
    assert counters_of(PERFQUERY) == {"PortXmitData": 20880, "PortRcvData": 20881, "PortXmitPkts": 290}
    manager = manager_of(SMINFO)
    assert manager is not None and (manager.lid, manager.guid, manager.state) == (1, "0x100001", "MASTER")
    assert manager_of("") is None


def test_a_host_is_asked() -> None:
    seen = look(Tools(WELL), "ib1", deadline=Deadline.after(10.0))
    assert str(seen) == "1 switches, 1 adapters, 2 links"
    assert seen.errors is not None and len(seen.errors) == 3 and seen.traffic["PortXmitData"] == 20880


@pytest.mark.parametrize("complaint", [NO_ANSWER, NO_SM])
def test_counters_are_unknown_if_nobody_answers_although_the_exit_code_is_0(complaint: str) -> None:
    host = Tools({**WELL, "ibqueryerrors": ""}, {"ibqueryerrors": complaint})
    assert look(host, "ib1", deadline=Deadline.after(10.0)).errors is None


def test_without_a_manager_nothing_is_known_of_counters() -> None:
    seen = look(Tools({**WELL, "sminfo": ""}, codes={"sminfo": 255}), "ib1", deadline=Deadline.after(10.0))
    assert seen.manager is None and seen.errors is None and seen.traffic == {}


@pytest.mark.parametrize(
    ("tool", "complaint", "code", "message"),
    [
        ("sminfo", "sh: 1: sminfo: not found", 127, "host ib1: it lacks sminfo; install infiniband-diags there"),
        ("iblinkinfo", NO_UMAD, 1, "host ib1: iblinkinfo cannot send MADs: ib_umad is not loaded"),
        ("iblinkinfo", NO_PORT, 1, "host ib1: iblinkinfo cannot send MADs: no port of InfiniBand is up"),
        ("ibqueryerrors", NO_PORT, 255, "host ib1: ibqueryerrors cannot send MADs: "),
    ],
)
def test_what_keeps_a_tool_from_asking_is_one_line(tool: str, complaint: str, code: int, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        look(Tools(WELL, {tool: complaint}, {tool: code}), "ib1", deadline=Deadline.after(10.0))
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)
