"""A fabric by itself, and against a golden one: each difference beside what is none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.fabric.golden import Difference, Golden, compare, health
from harness.fabric.view import End, Fabric, Link, Manager, Node, PortErrors


def end(name: str, port: int = 1) -> End:
    return End(guid=f"0x{name}", port=port, name=name)


def link(first: End, second: End, speed: str = "10.0 Gbps", **more: str) -> Link:
    given = {"width": "4X", "state": "Active", "could_be": "", **more}
    return Link(ends=(first, second), speed=speed, **given)


def node(name: str, kind: str = "Ca") -> Node:
    return Node(guid=f"0x{name}", kind=kind, name=name, ports=8 if kind == "Switch" else 1)


def errors(port: int, **counters: int) -> PortErrors:
    return PortErrors(guid="0xs0", port=port, name="s0", counters=counters)


WHOLE = Fabric(
    nodes=(node("s0", "Switch"), node("s1", "Switch"), node("h1"), node("h2")),
    links=(link(end("h1"), end("s0", 1)), link(end("h2"), end("s1", 1)), link(end("s0", 8), end("s1", 8))),
    down=(),
    errors=(),
    manager=Manager(lid=1, guid="0x1", priority=0, state="MASTER"),
)
TRUNK = WHOLE.links[2]


def differences(now: Fabric, before: Fabric = WHOLE) -> list[tuple[str, str]]:
    return [(one.kind, one.text) for one in compare(Golden(fabric=before), now)]


def test_a_fabric_is_as_itself_from_either_end() -> None:
    turned = tuple(replace(one, ends=(one.ends[1], one.ends[0])) for one in reversed(WHOLE.links))
    assert differences(replace(WHOLE, links=turned)) == [] and health(WHOLE) == []


def test_a_golden_fabric_survives_its_file() -> None:
    golden = Golden(fabric=replace(WHOLE, errors=(errors(1, X=3),), down=(end("s0", 2),)), thresholds={"X": 1})
    assert Golden.from_json(golden.to_json()) == golden
    unknown = Golden(fabric=replace(WHOLE, errors=None, manager=None))
    assert Golden.from_json(unknown.to_json()) == unknown


@pytest.mark.parametrize("text", ["", "{}", "[]", "3", '{"format": 2}', '{"format": 1, "thresholds": {}, "fabric": 1}'])
def test_another_file_is_no_golden_fabric(text: str) -> None:
    with pytest.raises(ValueError):
        Golden.from_json(text)


def test_missing_and_new() -> None:
    without = replace(WHOLE, nodes=WHOLE.nodes[:3], links=(WHOLE.links[0], TRUNK))
    assert differences(without) == [("missing", "h2 is gone"), ("missing", "the link h2 port 1 – s1 port 1 is gone")]
    assert differences(WHOLE, without) == [("new", "h2 is new"), ("new", "the link h2 port 1 – s1 port 1 is new")]


def test_moved() -> None:
    moved = replace(WHOLE, links=(WHOLE.links[0], link(end("h2"), end("s0", 3)), TRUNK))
    assert differences(moved) == [("moved", "the cable h2 port 1 – s1 port 1 is now h2 port 1 – s0 port 3")]


def test_two_cables_that_changed_places_are_told_by_their_adapters() -> None:
    swapped = replace(WHOLE, links=(link(end("h2"), end("s0", 1)), link(end("h1"), end("s1", 1)), TRUNK))
    assert {text for _, text in differences(swapped)} == {
        "the cable h1 port 1 – s0 port 1 is now h1 port 1 – s1 port 1",
        "the cable h2 port 1 – s1 port 1 is now h2 port 1 – s0 port 1",
    }


@pytest.mark.parametrize(
    ("speed", "width", "slower"), [("5.0 Gbps", "4X", 1), ("10.0 Gbps", "1X", 1), ("14.0625 Gbps", "4X", 0)]
)
def test_slower(speed: str, width: str, slower: int) -> None:
    now = replace(WHOLE, links=(*WHOLE.links[:2], replace(TRUNK, speed=speed, width=width)))
    assert len(differences(now)) == slower and all(kind == "slower" for kind, _ in differences(now))


def test_by_itself_a_link_is_slow_if_both_ends_could_do_more() -> None:
    slow = replace(WHOLE, links=(replace(TRUNK, could_be="12X"),))
    assert [one.kind for one in health(slow)] == ["slower"]
    assert differences(slow, slow) == [], "the golden one was no faster"


@pytest.mark.parametrize(
    ("before", "now", "rises"),
    [({}, 10, 0), ({}, 11, 1), ({"SymbolErrorCounter": 5}, 15, 0), ({"SymbolErrorCounter": 5}, 16, 1)],
)
def test_a_counter_may_rise_up_to_its_threshold(before: dict[str, int], now: int, rises: int) -> None:
    old, new = (
        replace(WHOLE, errors=(errors(1, **before),)),
        replace(WHOLE, errors=(errors(1, SymbolErrorCounter=now),)),
    )
    assert len(differences(new, old)) == rises


def test_a_counter_that_was_cleared_counts_from_0() -> None:
    old = replace(WHOLE, errors=(errors(1, LinkDownedCounter=5000),))
    assert differences(replace(WHOLE, errors=(errors(1, LinkDownedCounter=9),)), old) == []
    assert len(differences(replace(WHOLE, errors=(errors(1, LinkDownedCounter=12),)), old)) == 1


def test_waiting_to_send_is_no_error_and_other_ports_are_others() -> None:
    old = replace(WHOLE, errors=(errors(1, PortRcvErrors=500),))
    new = replace(WHOLE, errors=(errors(1, PortRcvErrors=500), errors(2, PortXmitWait=99999)))
    assert differences(new, old) == []
    assert len(differences(replace(WHOLE, errors=(errors(2, PortRcvErrors=500),)), old)) == 1


def test_thresholds_of_the_file_count() -> None:
    now = replace(WHOLE, errors=(errors(1, SymbolErrorCounter=3),))
    assert compare(Golden(fabric=WHOLE, thresholds={"SymbolErrorCounter": 2}), now) == [
        Difference(kind="errors", text="s0 port 1: SymbolErrorCounter is 3; up to 2 is allowed")
    ]


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"manager": None, "errors": None}, "manager", "no subnet manager answers"),
        ({"errors": None}, "manager", "does not answer queries"),
        ({"links": (), "down": (end("h1"),)}, "down", "no link: h1 port 1 is down"),
        ({"links": (replace(TRUNK, state="Initialize"),)}, "state", "is in state Initialize"),
    ],
)
def test_what_makes_a_fabric_unusable_is_said_in_one_line(changes: dict[str, object], kind: str, words: str) -> None:
    (one,) = health(replace(WHOLE, **changes))  # type: ignore[arg-type]  # of the fields' types
    assert one.kind == kind and words in one.text and "\n" not in one.text
