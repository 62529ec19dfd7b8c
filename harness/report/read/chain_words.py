"""The wait chains of a diagnosis in words, from the first waiter to the end of each chain."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import groupby

from harness.model.diagnosis import Cited, Diagnosis, Edge, Node
from harness.results.text import repeated_part


class End(Enum):
    """The end of a line: the chain continues below, closes a circle, or continues at an earlier line."""

    OPEN = auto()
    CLOSES = auto()
    SHOWN = auto()


@dataclass(frozen=True, slots=True)
class Wait:
    """One line: `node` is reached over `edge` (None for the first of a chain), `depth` edges below the start."""

    depth: int
    node: Node
    edge: Edge | None
    end: End


def waits(diagnosis: Diagnosis) -> list[Wait]:
    """Every node, and each edge once: the circle first, then chains from nodes without waiters."""
    return list(_Walk(diagnosis).lines())


def drawable(diagnosis: Diagnosis) -> tuple[Edge, ...]:
    """The edges both of whose ends are among the nodes."""
    names = {node.name for node in diagnosis.nodes}
    return tuple(edge for edge in diagnosis.edges if edge.waiter in names and edge.awaited in names)


def cycle_pairs(diagnosis: Diagnosis) -> frozenset[tuple[str, str]]:
    """(waiter, awaited) of every edge of the circle."""
    cycle = diagnosis.cycle
    return frozenset(zip(cycle, (*cycle[1:], *cycle[:1]), strict=True))


def starts(diagnosis: Diagnosis) -> list[str]:
    """Names of all nodes: first those without waiters, then the circle's, then the rest."""
    awaited = {edge.awaited for edge in drawable(diagnosis) if edge.awaited != edge.waiter}
    names = [node.name for node in diagnosis.nodes]
    first = [name for name in names if name not in awaited]
    circle = [name for name in diagnosis.cycle if name in names]
    return list(dict.fromkeys((*first, *circle, *names)))


def node_words(node: Node) -> str:
    """A node's label and count."""
    return node.label + counted(node)


def counted(node: Node) -> str:
    """A node's count, if above 1 and not already at the start of its label."""
    several = node.count > 1 and not node.label.startswith(f"{node.count} ")
    return f" ×{node.count}" if several else ""


def cited_words(evidence: Cited) -> str:
    """A piece of evidence: its place, its task and what it shows."""
    where = f"{evidence.source}:{evidence.line}"
    task = f"task {evidence.task}" if evidence.task else ""
    frame = f"in {evidence.frame}" if evidence.frame else ""
    return ", ".join(part for part in (where, task, frame, evidence.text.strip()) if part)


def cited_lines(evidence: Sequence[Cited]) -> list[str]:
    """All evidence, a line each; consecutive repeats of a message have one line and a count."""
    lines = []
    for _, group in groupby(evidence, lambda each: (each.source, each.task, each.frame, repeated_part(each.text))):
        first, *more = group
        count = f" (and {len(more)} more like it, the last in line {more[-1].line})" if more else ""
        lines.append(cited_words(first) + count)
    return lines


class _Walk:
    """Depth-first walk without recursion: a file of a run may hold a chain of any length."""

    def __init__(self, diagnosis: Diagnosis) -> None:
        self._nodes = {node.name: node for node in diagnosis.nodes}
        circle = [name for name in diagnosis.cycle if name in self._nodes]
        self._starts = dict.fromkeys((*circle, *starts(diagnosis)))
        self._edges: dict[str, list[Edge]] = defaultdict(list)
        for edge in drawable(diagnosis):
            self._edges[edge.waiter].append(edge)
        self._shown: set[str] = set()

    def lines(self) -> Iterator[Wait]:
        """All lines."""
        for name in self._starts:
            if name not in self._shown:
                yield from self._chain(name)

    def _chain(self, first: str) -> Iterator[Wait]:
        yield self._line(0, first, None, End.OPEN)
        path = [first]
        left = [iter(self._edges[first])]
        while left:
            edge = next(left[-1], None)
            if edge is None:
                left.pop()
                path.pop()
                continue
            end = self._end(edge.awaited, path)
            yield self._line(len(path), edge.awaited, edge, end)
            if end is End.OPEN:
                path.append(edge.awaited)
                left.append(iter(self._edges[edge.awaited]))

    def _end(self, name: str, path: list[str]) -> End:
        if name in path:
            return End.CLOSES
        # "See above" is useful only for a node with edges below it.
        return End.SHOWN if name in self._shown and self._edges[name] else End.OPEN

    def _line(self, depth: int, name: str, edge: Edge | None, end: End) -> Wait:
        self._shown.add(name)
        return Wait(depth, self._nodes[name], edge, end)
