"""The drawn wait-for graph: everything is there, and nothing hides anything."""

from __future__ import annotations

import re
from itertools import combinations

import pytest
from diagnoses import LOOPBACK_NBD, LOOPBACK_NFS, UNKNOWN, VARIED, crowd, fan
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.model.diagnosis import Confidence, Diagnosis, Edge, Node, NodeKind
from harness.model.hang_classes import HangClass
from harness.report.draw.graph import MOST, Drawing, draw_graph
from harness.report.draw.text_width import Face, broken, wide

Rectangle = tuple[float, float, float, float]
FACE = Face(11.0, 14.0)


def overlap(one: Rectangle, other: Rectangle) -> bool:
    """Whether two rectangles (x, y, width, height) have more than a border in common."""
    return all(one[i] + one[i + 2] > other[i] + 0.1 and other[i] + other[i + 2] > one[i] + 0.1 for i in (0, 1))


def check_nothing_is_hidden(drawing: Drawing) -> None:
    """Boxes and words stand apart, and within the drawing."""
    rectangles = [(box.x, box.y, box.width, box.height) for box in drawing.boxes]
    rectangles += [arrow.plate for arrow in drawing.arrows]
    assert not [pair for pair in combinations(rectangles, 2) if overlap(*pair)]
    for x, y, width, height in rectangles:
        assert x >= 0 and y >= 0
        assert x + width <= drawing.width + 1 and y + height <= drawing.height + 1
    for arrow in drawing.arrows:
        for number in map(float, re.findall(r"-?\d+\.\d", arrow.path)):
            assert -1 <= number <= max(drawing.width, drawing.height) + 1


@pytest.mark.parametrize("name", VARIED)
def test_nothing_hides_anything_and_it_fits_the_page(name: str) -> None:
    drawing = draw_graph(VARIED[name])
    check_nothing_is_hidden(drawing)
    assert len(drawing.boxes) == len(VARIED[name].nodes)
    assert len(drawing.arrows) == len(VARIED[name].edges)
    assert drawing.width <= 900


def graphs() -> st.SearchStrategy[Diagnosis]:
    """Any graph of up to 15 nodes, with circles of every kind."""
    names = st.integers(1, 15).map(lambda count: [f"n{n}" for n in range(count)])

    def edges(names: list[str]) -> st.SearchStrategy[Diagnosis]:
        one = st.sampled_from(names)
        edge = st.builds(Edge, waiter=one, awaited=one, label=st.text(max_size=60), sure=st.booleans())
        node = st.builds(Node, name=st.just(""), kind=st.sampled_from(NodeKind), label=st.text(max_size=60))
        return st.tuples(st.lists(edge, max_size=20), st.lists(node, min_size=15, max_size=15)).map(
            lambda drawn: Diagnosis(
                hang_class=HangClass.UNKNOWN,
                confidence=Confidence.LOW,
                title="",
                nodes=tuple(
                    Node(name=name, kind=node.kind, label=node.label)
                    for name, node in zip(names, drawn[1], strict=False)
                ),
                edges=tuple(drawn[0]),
                cycle=tuple(names[:3]),
            )
        )

    return names.flatmap(edges)


@settings(deadline=None, max_examples=60)
@given(graphs())
def test_any_graph_is_drawn_with_nothing_hidden(diagnosis: Diagnosis) -> None:
    check_nothing_is_hidden(draw_graph(diagnosis))


def test_the_drawing_is_the_same_every_time() -> None:
    assert draw_graph(crowd()) == draw_graph(crowd())


def test_the_circle_is_marked_and_nothing_else() -> None:
    drawing = draw_graph(LOOPBACK_NFS)
    assert [box.in_cycle for box in drawing.boxes] == [True, True, True, True, False]
    assert [arrow.in_cycle for arrow in drawing.arrows] == [True, True, True, True, False]
    assert [arrow.sure for arrow in drawing.arrows] == [True, False, True, True, True]


def test_arrows_point_down_but_for_the_one_that_closes_the_circle() -> None:
    drawing = draw_graph(LOOPBACK_NBD)
    tops = {node.name: box.y for node, box in zip(LOOPBACK_NBD.nodes, drawing.boxes, strict=True)}
    rising = [(e.waiter, e.awaited) for e in LOOPBACK_NBD.edges if tops[e.awaited] < tops[e.waiter]]
    assert rising == [("memory", "page")]


def test_what_is_wide_lies_down() -> None:
    drawing = draw_graph(fan())
    waiting = drawing.boxes[:13]
    assert max(box.x + box.width for box in waiting) < min(box.x for box in drawing.boxes[13:])


def test_boxes_say_what_they_are_and_how_many() -> None:
    (box,) = draw_graph(UNKNOWN).boxes
    assert [(style, line.text) for style, line in box.lines] == [
        ("kind", "task"),
        ("label", "kworker/u8:2 (4711)"),
        ("detail", "in schedule_timeout"),
    ]
    workers = draw_graph(LOOPBACK_NBD).boxes[0]
    assert workers.lines[0][1].text == "task ×14"
    assert workers.tooltip == "task: thrash ×14\nswap in and reclaim"


def test_an_arrow_tells_its_evidence_to_who_points_at_it() -> None:
    first, second = draw_graph(LOOPBACK_NFS).arrows[:2]
    assert first.tooltip == (
        "bash (158426), nfs4_wait_bit_killable: DELEGRETURN\nconsoles/client.log:212, task bash, in nfs4_evict_inode"
    )
    assert "not certain" in second.tooltip


def test_a_graph_that_nobody_could_read_is_cut() -> None:
    drawing = draw_graph(fan(100))
    assert len(drawing.boxes) == MOST
    assert drawing.left_out == 102 - MOST


def test_a_graph_without_nodes_is_empty() -> None:
    nothing = Diagnosis(hang_class=HangClass.UNKNOWN, confidence=Confidence.LOW, title="t")
    assert draw_graph(nothing).boxes == []


@given(st.text(max_size=120), st.integers(1, 4))
def test_broken_text_fits(text: str, most: int) -> None:
    lines = broken(text, FACE, 90.0, most)
    assert len(lines) <= most
    assert all(wide(line, FACE) <= 90.0 or len(line) <= 2 for line in lines)


def test_text_is_broken_where_words_or_parts_of_names_end() -> None:
    assert broken("folio_wait_bit_common in swap", FACE, 90.0, 3) == ["folio_wait_bit_", "common in", "swap"]
    assert broken("a  b", FACE, 90.0, 3) == ["a b"]
    assert broken("word " * 30, FACE, 90.0, 2)[-1].endswith("…")
