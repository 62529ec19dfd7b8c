"""The graph of a diagnosis: boxes, arrows and words with their places.

Pure; the template writes it as SVG. Units are pixels at the size at which the page shows the drawing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from harness.model.diagnosis import Diagnosis, Edge, Node
from harness.report.draw.layered import Pair, Placed, Point, Size, closing, place
from harness.report.draw.text_width import Face, broken, wide
from harness.report.read.chain_words import cited_words, counted, cycle_pairs, drawable, node_words, starts

MOST = 40  # boxes; nobody reads a larger graph
MARGIN = 10.0
KIND, LABEL, DETAIL, WAIT = Face(10.5, 14.0), Face(13.0, 17.0, bold=True), Face(11.0, 14.0), Face(11.0, 14.0)
_PAD_X, _PAD_Y = 11.0, 7.0
_BOX, _WORDS = 176.0, 150.0  # maximum width of text in a box and beside an arrow
_ACROSS, _DOWN = 20.0, 20.0
_PAGE = 900.0  # width that a drawing should fit into
_HEAD = 8.0  # length of an arrow's head
_PORT = 18.0  # between two arrows on the same side of a box


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text, its middle at `x` and its baseline at `y`."""

    x: float
    y: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A node: its rectangle, its lines by style, and its tooltip."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    in_cycle: bool
    tooltip: str
    lines: Sequence[tuple[str, Line]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrow:
    """An edge: its path and head as SVG path data, the rectangle behind its words, and the words."""

    path: str
    head: str
    sure: bool
    in_cycle: bool
    tooltip: str
    plate: tuple[float, float, float, float]
    lines: Sequence[Line]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """The whole graph; `left_out` nodes are not in it."""

    width: float
    height: float
    boxes: Sequence[Box]
    arrows: Sequence[Arrow]
    left_out: int


def draw_graph(diagnosis: Diagnosis) -> Drawing:
    """Place every node and edge: from top to bottom, or from left to right if that is narrower and still fits."""
    shown, left_out = _bounded(diagnosis)
    upright = _Plan(shown, lying=False)
    lying = _Plan(shown, lying=True)
    too_wide = upright.width > _PAGE and lying.width < upright.width
    return (lying if too_wide else upright).drawing(left_out)


def _bounded(diagnosis: Diagnosis) -> tuple[Diagnosis, int]:
    nodes = diagnosis.nodes[:MOST]
    bounded = replace(diagnosis, nodes=nodes)
    edges = tuple(edge for edge in drawable(bounded) if edge.waiter != edge.awaited)
    return replace(bounded, edges=edges), len(diagnosis.nodes) - len(nodes)


class _Plan:
    """One way to draw the graph. The words of an edge have their own place in the layout, so that nothing hides them.

    With `lying`, widths and heights are swapped for the layout, and x and y after it.
    """

    def __init__(self, diagnosis: Diagnosis, *, lying: bool) -> None:
        self._lying = lying
        self._diagnosis = diagnosis
        self._texts = {node.name: _box_text(node) for node in diagnosis.nodes}
        self._waits = {index: broken(edge.label, WAIT, _WORDS, 3) for index, edge in enumerate(diagnosis.edges)}
        self._sizes = {name: _size(text) for name, text in self._texts.items()}
        self._plates = {index: _plate(lines) for index, lines in self._waits.items()}
        placed = self._place()
        self._centres = {name: self._turned(point) for name, point in placed.centres.items()}
        self._routes = {pair: [self._turned(point) for point in route] for pair, route in placed.routes.items()}
        self._ports = self._find_ports()
        width, height = self._turned((placed.width, placed.height))
        self.width, self.height = width + 2 * MARGIN, height + 2 * MARGIN

    def drawing(self, left_out: int) -> Drawing:
        """The finished drawing."""
        circle = set(self._diagnosis.cycle)
        return Drawing(
            width=round(self.width),
            height=round(self.height),
            boxes=[self._box(node, node.name in circle) for node in self._diagnosis.nodes],
            arrows=[self._arrow(index, edge) for index, edge in enumerate(self._diagnosis.edges)],
            left_out=left_out,
        )

    def _place(self) -> Placed:
        order = starts(self._diagnosis)
        edges = self._diagnosis.edges
        risen = closing(order, [(edge.waiter, edge.awaited) for edge in edges])
        sizes: dict[str, Size] = {_box_key(name): self._turned(self._sizes[name]) for name in order}
        pairs: list[Pair] = []
        rising: set[Pair] = set()
        for index, edge in enumerate(edges):
            sizes[_wait_key(index)] = self._turned(self._plates[index])
            halves = (_box_key(edge.waiter), _wait_key(index)), (_wait_key(index), _box_key(edge.awaited))
            pairs += halves
            rising.update(halves if (edge.waiter, edge.awaited) in risen else ())
        return place(sizes, pairs, rising=rising, across=_ACROSS, down=_DOWN * (2 if self._lying else 1))

    def _turned(self, value: tuple[float, float]) -> tuple[float, float]:
        return value[::-1] if self._lying else value

    def _centre(self, key: str) -> Point:
        x, y = self._centres[key]
        return x + MARGIN, y + MARGIN

    def _box(self, node: Node, in_cycle: bool) -> Box:
        x, y = self._centre(_box_key(node.name))
        width, height = self._sizes[node.name]
        top = y - height / 2
        lines: list[tuple[str, Line]] = []
        baseline = top + _PAD_Y
        for style, face, text in self._texts[node.name]:
            baseline += face.leading
            lines.append((style, Line(x, baseline - face.leading * 0.25, text)))
        return Box(
            x=x - width / 2, y=top, width=width, height=height, kind=node.kind.value, in_cycle=in_cycle,
            tooltip="\n".join((f"{node.kind.value}: {node_words(node)}", node.detail)).strip(), lines=lines,
        )  # fmt: skip

    def _arrow(self, index: int, edge: Edge) -> Arrow:
        words = _wait_key(index)
        path, head = self._curve(index, edge)
        x, y = self._centre(words)
        width, height = self._plates[index]
        top = y - height / 2
        return Arrow(
            path=path,
            head=head,
            sure=edge.sure,
            in_cycle=(edge.waiter, edge.awaited) in cycle_pairs(self._diagnosis),
            tooltip=_wait_tooltip(edge, {node.name: node for node in self._diagnosis.nodes}),
            plate=(x - width / 2, top, width, height),
            lines=[Line(x, top + WAIT.leading * (row + 0.78), text) for row, text in enumerate(self._waits[index])],
        )

    def _run(self, index: int, edge: Edge) -> list[Point]:
        """The points of a whole arrow, along the layers: the second number grows downwards."""
        first = self._routes[_box_key(edge.waiter), _wait_key(index)]
        second = self._routes[_wait_key(index), _box_key(edge.awaited)]
        # it runs straight through the middle of its words
        return [self._turned((x + MARGIN, y + MARGIN)) for x, y in (*first[:-1], *second[1:])]

    def _curve(self, index: int, edge: Edge) -> tuple[str, str]:
        """A smooth path from the border of one box to that of the other, and the triangle at its end."""
        run = self._run(index, edge)
        down = 1.0 if run[-1][1] > run[0][1] else -1.0
        leave, enter = self._ports[index]
        run[0] = (run[0][0] + leave, run[0][1] + down * self._turned(self._sizes[edge.waiter])[1] / 2)
        run[1] = (run[0][0], run[1][1])
        tip = (run[-1][0] + enter, run[-1][1] - down * self._turned(self._sizes[edge.awaited])[1] / 2)
        run[-2:] = [(tip[0], run[-2][1]), (tip[0], tip[1] - down * _HEAD)]
        path = f"M{self._at(run[0])}"
        for straight, bent in zip(run[1::2], run[2::2], strict=False):
            middle = (straight[1] + bent[1]) / 2
            controls = (straight[0], middle), (bent[0], middle)
            path += f" L{self._at(straight)} C{self._at(controls[0])} {self._at(controls[1])} {self._at(bent)}"
        base = tip[1] - down * _HEAD * 1.1
        corners = (tip[0] - _HEAD / 2, base), (tip[0] + _HEAD / 2, base)
        return f"{path} L{self._at(run[-1])}", f"M{self._at(tip)} L{self._at(corners[0])} L{self._at(corners[1])} Z"

    def _find_ports(self) -> dict[int, tuple[float, float]]:
        """Distance from the box's middle at which each arrow leaves and arrives: side by side if there is room."""
        sides: dict[tuple[str, float], list[tuple[float, int, int]]] = defaultdict(list)
        for index, edge in enumerate(self._diagnosis.edges):
            run = self._run(index, edge)
            down = 1.0 if run[-1][1] > run[0][1] else -1.0
            sides[edge.waiter, down].append((run[2][0], index, 0))
            sides[edge.awaited, -down].append((run[-3][0], index, 1))
        ports = {index: [0.0, 0.0] for index in range(len(self._diagnosis.edges))}
        for (name, _), ends in sides.items():
            room = 0.7 * self._turned(self._sizes[name])[0]
            step = min(_PORT, room / len(ends))
            step = step if step > _HEAD else 0.0  # heads that would touch share one place
            for position, (_, index, end) in enumerate(sorted(ends)):
                ports[index][end] = (position - (len(ends) - 1) / 2) * step
        return {index: (leave, enter) for index, (leave, enter) in ports.items()}

    def _at(self, point: Point) -> str:
        x, y = self._turned(point)
        return f"{x:.1f} {y:.1f}"


def _box_text(node: Node) -> list[tuple[str, Face, str]]:
    """The lines of a box with their style: its kind, its label and its detail."""
    lines = [("kind", KIND, node.kind.value + counted(node))]
    lines += [("label", LABEL, text) for text in broken(node.label, LABEL, _BOX, 3)]
    lines += [("detail", DETAIL, text) for text in broken(node.detail, DETAIL, _BOX, 2)]
    return lines


def _size(text: Sequence[tuple[str, Face, str]]) -> Size:
    width = max(wide(line, face) for _, face, line in text)
    return round(width) + 2 * _PAD_X, sum(face.leading for _, face, _ in text) + 2 * _PAD_Y


def _plate(lines: Sequence[str]) -> Size:
    width = max((wide(line, WAIT) for line in lines), default=0.0)
    return round(width) + 8.0, len(lines) * WAIT.leading + 2.0


def _wait_tooltip(edge: Edge, nodes: Mapping[str, Node]) -> str:
    head = f"{nodes[edge.waiter].label}, {edge.label}: {nodes[edge.awaited].label}"
    doubt = () if edge.sure else ("not certain: the text only implies it",)
    return "\n".join((head, *doubt, *(cited_words(each) for each in edge.evidence[:4])))


def _box_key(name: str) -> str:
    return f"node {name}"


def _wait_key(index: int) -> str:
    return f"wait {index}"
