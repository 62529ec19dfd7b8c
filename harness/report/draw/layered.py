"""Layered layout of a directed graph: places of boxes in layers from top to bottom, and routes of edges.

The layering, the order within a layer and the coordinates are grandalf's (Sugiyama's method with the placement of
Brandes and Köpf). It needs a graph without circles. So the caller names the edges that run upwards, and thereby where a
circle begins.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from grandalf.graphs import Edge, Graph, Vertex
from grandalf.layouts import SugiyamaLayout
from grandalf.routing import EdgeViewer

Point = tuple[float, float]
Size = tuple[float, float]
Pair = tuple[str, str]

BEND = 16.0  # room for an edge that passes between the boxes of a layer
_ROUNDS = 6  # of ordering; grandalf stops earlier if nothing crosses


@dataclass(slots=True)
class Placed:
    """Places of boxes and edges; the top left corner is 0, 0.

    `centres` are those of the boxes. A route runs from its first box to its second, as an even number of points. Within
    each pair of points it is straight, past the boxes of a layer; from one pair to the next it may bend.
    """

    centres: dict[str, Point] = field(default_factory=dict)
    routes: dict[Pair, list[Point]] = field(default_factory=dict)
    width: float = 0.0
    height: float = 0.0


def place(
    sizes: Mapping[str, Size], pairs: Sequence[Pair], *, rising: Collection[Pair], across: float, down: float
) -> Placed:
    """Place boxes of `sizes` (width, height) so that edges point down, but for those of `rising`.

    `pairs` join names of `sizes`; with those of `rising` reversed they have no circle. `across` and `down` are the room
    between neighbours and between layers. Unconnected parts stand side by side.
    """
    placed = Placed()
    for part in _graph(sizes, pairs, rising).C:
        bands = _settle(part, across, down)
        left = placed.width + (2 * across if placed.centres else 0.0)
        _add(placed, part, bands, left, rising)
    return placed


def closing(names: Iterable[str], pairs: Iterable[Pair]) -> frozenset[Pair]:
    """The edges that close a circle when the graph is walked, depth first, from the first of `names` on."""
    following: dict[str, list[str]] = defaultdict(list)
    for upper, lower in pairs:
        following[upper].append(lower)
    found: set[Pair] = set()
    done: set[str] = set()
    for name in names:
        path = [] if name in done else [name]
        left = [iter(following[each]) for each in path]
        while left:
            lower = next(left[-1], "")
            if not lower:
                left.pop()
                done.add(path.pop())
            elif lower in path:
                found.add((path[-1], lower))
            elif lower not in done:
                path.append(lower)
                left.append(iter(following[lower]))
    return frozenset(found)


class _View:
    """The view of a vertex that grandalf needs; grandalf sets `xy`, the centre."""

    def __init__(self, size: Size) -> None:
        self.w, self.h = size
        self.xy: Point = (0.0, 0.0)


def _graph(sizes: Mapping[str, Size], pairs: Iterable[Pair], rising: Collection[Pair]) -> Any:
    vertices = {name: Vertex(name) for name in sizes}
    for name, vertex in vertices.items():
        vertex.view = _View(sizes[name])
    edges = []
    for pair in dict.fromkeys(pairs):
        upper, lower = pair[::-1] if pair in rising else pair
        edges.append(Edge(vertices[upper], vertices[lower], data=pair))
        edges[-1].view = EdgeViewer()
    return Graph(list(vertices.values()), edges)


def _settle(part: Any, across: float, down: float) -> dict[float, float]:
    """Give every vertex of a connected graph its centre and every edge its points.

    Returns half the height of each layer by the y of its middle.
    """
    layout = SugiyamaLayout(part)
    layout.xspace, layout.yspace = across, down
    layout.dw, layout.dh = BEND, 1.0
    layout.init_all(inverted_edges=[], optimize=True)
    layout.draw(_ROUNDS)
    bands: dict[float, float] = {}
    for layer in layout.layers:
        views = [vertex.view for vertex in layer]
        _spread(views, across)
        bands[views[0].xy[1]] = max(view.h for view in views) / 2
    layout.draw_edges()
    return bands


def _spread(views: Iterable[Any], across: float) -> None:
    """Push apart boxes closer than `across`: the placement is a mean of four, which may be closer."""
    reached: float | None = None
    for view in sorted(views, key=lambda view: view.xy[0]):
        x, y = view.xy
        if reached is not None and x - view.w / 2 < reached + across:
            x = reached + across + view.w / 2
        view.xy = (x, y)
        reached = x + view.w / 2


def _add(placed: Placed, part: Any, bands: Mapping[float, float], left: float, rising: Collection[Pair]) -> None:
    """Put a settled part beside those already placed, with its left edge at `left`."""
    boxes = [(vertex.view.xy, vertex.view.w, vertex.view.h) for vertex in part.V()]
    boxes += [(point, BEND, 0.0) for edge in part.E() for point in edge.view._pts[1:-1]]
    shift = left - min(x - width / 2 for (x, _), width, _ in boxes)
    for vertex in part.V():
        x, y = vertex.view.xy
        placed.centres[vertex.data] = (x + shift, y)
    for edge in part.E():
        points = [(x + shift, y + side * bands[y]) for x, y in edge.view._pts for side in (-1, 1)][1:-1]
        ends = [placed.centres[vertex.data] for vertex in edge.v]
        route = [ends[0], *points, ends[1]]
        placed.routes[edge.data] = route[::-1] if edge.data in rising else route
    placed.width = max(x + width / 2 + shift for (x, _), width, _ in boxes)
    placed.height = max(placed.height, *(y + height / 2 for (_, y), _, height in boxes))
