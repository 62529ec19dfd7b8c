"""Who waits for what, as lines."""

from __future__ import annotations

from dataclasses import replace

from diagnoses import LOOPBACK_NBD, LOOPBACK_NFS, UNKNOWN, UNREACHABLE, VARIED, fan

from harness.model.diagnosis import Cited, Confidence, Diagnosis, Edge, Node, NodeKind
from harness.model.hang_classes import HangClass
from harness.report.read.chain_words import End, cited_lines, cited_words, cycle_pairs, node_words, waits


def chain(length: int) -> Diagnosis:
    """A chain of tasks."""
    nodes = tuple(Node(name=f"n{n}", kind=NodeKind.TASK, label=f"task {n}") for n in range(length))
    edges = tuple(Edge(waiter=f"n{n}", awaited=f"n{n + 1}", label="waits") for n in range(length - 1))
    return Diagnosis(hang_class=HangClass.UNKNOWN, confidence=Confidence.LOW, title="t", nodes=nodes, edges=edges)


def test_a_circle_comes_first_and_is_closed_visibly() -> None:
    lines = waits(LOOPBACK_NFS)
    assert [(line.depth, line.node.name, line.end) for line in lines] == [
        (0, "bash", End.OPEN),
        (1, "rpc", End.OPEN),
        (2, "nfsd", End.OPEN),
        (3, "rwsem", End.OPEN),
        (4, "bash", End.CLOSES),
        (0, "others", End.OPEN),
        (1, "rwsem", End.SHOWN),
    ]


def test_every_node_and_every_edge_is_told_once() -> None:
    for diagnosis in VARIED.values():
        lines = waits(diagnosis)
        assert {line.node.name for line in lines} == {node.name for node in diagnosis.nodes}
        reported = [line.edge for line in lines if line.edge is not None]
        assert sorted(map(repr, reported)) == sorted(map(repr, diagnosis.edges))


def test_a_chain_that_leaves_the_machine_is_open() -> None:
    assert [line.end for line in waits(UNREACHABLE)] == [End.OPEN] * 4
    assert [line.depth for line in waits(UNKNOWN)] == [0]


def test_two_that_wait_for_one_another() -> None:
    ends = [line.end for line in waits(fan(0))]
    assert ends == [End.OPEN, End.OPEN, End.CLOSES]
    assert cycle_pairs(fan(0)) == {("lock", "holder"), ("holder", "lock")}


def test_a_chain_of_any_length_is_walked() -> None:
    assert waits(chain(5000))[-1].depth == 4999


def test_edges_to_nowhere_are_left_out() -> None:
    damaged = replace(LOOPBACK_NBD, edges=(*LOOPBACK_NBD.edges, Edge(waiter="page", awaited="nobody", label="x")))
    assert waits(damaged) == waits(LOOPBACK_NBD)


def test_a_number_is_said_once() -> None:
    assert node_words(Node(name="n", kind=NodeKind.TASK, label="dd", count=8)) == "dd ×8"
    assert node_words(Node(name="n", kind=NodeKind.TASK, label="8 × cat, bash", count=8)) == "8 × cat, bash"


def test_evidence_says_where_it_is() -> None:
    assert cited_words(Cited(source="console", line=7)) == "console:7"
    whole = Cited(source="console", line=7, task="dd", frame="wait", text=" [<0>] wait+0x1 ")
    assert cited_words(whole) == "console:7, task dd, in wait, [<0>] wait+0x1"


def test_evidence_that_repeats_is_a_line_and_a_count() -> None:
    stuck = "block nbd{}: Possible stuck request 00000000{}: control ({}@{},4096B). Runtime {} seconds"
    requests = [(0, "90832ab2", "write", 4096, 30), (0, "deadbee7", "read", 0, 60), (1, "90832ab2", "write", 4096, 30)]
    evidence = [
        Cited(source="console", line=line, text=stuck.format(*request))
        for line, request in enumerate(requests, start=7)
    ]
    first, other_device = cited_lines(evidence)
    assert first == f"{cited_words(evidence[0])} (and 1 more like it, the last in line 8)"
    assert other_device == cited_words(evidence[2])
