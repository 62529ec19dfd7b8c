"""The model of one hang: groups of tasks and the wait-for graph, with the queries that the rules use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice

import networkx as nx

from harness.diagnosis.graph.host_context import HostContext
from harness.diagnosis.graph.traits import Trait, first_with
from harness.diagnosis.graph.waits import Wait
from harness.diagnosis.read.facts import Facts, Notice, Step, Task
from harness.model.diagnosis import Cited, NodeKind
from harness.model.finding import NoticeKind

__all__ = ["Case", "Group", "cite_notice"]

MOST_CYCLES = 400
LONGEST_CYCLE = 9
LASTING_S = 20.0
"""The shortest time after which one of the kernel's own watchdogs reports, that of soft lockups."""
STOOD_S = 30.0
"""Seconds after which an I/O of the harness's own is not just slow: the block layer's default time-out."""


@dataclass(slots=True)
class Group:
    """Tasks with the same wait and the same held locks: one node. `wait` is None if only the locks are known."""

    node: str
    tasks: list[Task]
    wait: Wait | None
    has: dict[str, Step] = field(default_factory=dict)

    @property
    def traits(self) -> frozenset[Trait]:
        """The traits of the group's stacks."""
        return self.wait.traits if self.wait else frozenset()

    @property
    def first(self) -> Task:
        """The task that represents the group as evidence."""
        return self.tasks[0]

    @property
    def persists_s(self) -> float:
        """The longest time in seconds that one of its tasks is known to have waited."""
        return max(task.persists_s for task in self.tasks)

    def cite(self, step: Step | None = None) -> Cited:
        """The group's first task as evidence, by `step` of its stack or by its wait."""
        frame = step or (self.wait.step if self.wait else None)
        line = frame.line if frame else self.first.line
        return Cited(source=self.first.source, line=line, task=self.first.label, frame=frame.name if frame else "")

    def shows(self, *traits: Trait) -> Cited:
        """The group's first task as evidence, by its innermost frame with one of `traits`."""
        return self.cite(first_with(self.first.path, *traits))


class Case:
    """A wait-for graph with its groups and facts. Nodes are names; edges carry `label`, `sure` and `evidence`."""

    def __init__(self, facts: Facts, context: HostContext) -> None:
        self.facts, self.context = facts, context
        self.graph: nx.DiGraph[str] = nx.DiGraph()
        self.groups: list[Group] = []

    # Building

    def resource(self, key: str, kind: NodeKind, label: str) -> str:
        """The node of a resource; created if missing."""
        if key not in self.graph:
            self.graph.add_node(key, kind=kind, label=label, detail="", count=1)
        return key

    def link(self, waiter: str, awaited: str, label: str, evidence: Iterable[Cited], sure: bool = True) -> None:
        """Add the edge "`waiter` waits for `awaited`"; a sure edge replaces an implied one."""
        if not self.graph.has_edge(waiter, awaited) or (sure and not self.graph.edges[waiter, awaited]["sure"]):
            self.graph.add_edge(waiter, awaited, label=label, sure=sure, evidence=tuple(evidence))

    # Queries

    @property
    def waiting(self) -> list[Group]:
        """The groups that wait for something."""
        return [group for group in self.groups if group.wait is not None]

    @property
    def blocked(self) -> int:
        """The number of waiting tasks."""
        return sum(len(group.tasks) for group in self.waiting)

    def with_traits(self, *traits: Trait) -> list[Group]:
        """The waiting groups with all of `traits`."""
        return [group for group in self.waiting if group.traits.issuperset(traits)]

    def on(self, *keys: str) -> list[Group]:
        """The groups that wait for one of these keys; a key that ends with ':' is a prefix."""
        return [group for group in self.waiting if group.wait and any(_fits(group.wait.key, key) for key in keys)]

    def at(self, node: str) -> Group | None:
        """The group of this node."""
        return next((group for group in self.groups if group.node == node), None)

    def sure(self, waiter: str, awaited: str) -> bool:
        """Whether the text shows this edge."""
        return bool(self.graph.edges[waiter, awaited]["sure"])

    def unsure(self, cycle: Sequence[str]) -> int:
        """The number of edges of a cycle that are only implied."""
        return sum(not self.sure(*edge) for edge in _edges(cycle))

    @cached_property
    def cycles(self) -> list[list[str]]:
        """The cycles, the one with the fewest implied edges first."""
        found = islice(nx.simple_cycles(self.graph, length_bound=LONGEST_CYCLE), MOST_CYCLES)
        return sorted(found, key=lambda cycle: (self.unsure(cycle), len(cycle), cycle))

    def cycle_with(self, *nodes: str) -> list[str]:
        """The best cycle through all of `nodes`, beginning with the first; empty if there is none."""
        best = next((cycle for cycle in self.cycles if set(nodes) <= set(cycle)), [])
        start = best.index(nodes[0]) if best else 0
        return best[start:] + best[:start]

    @cached_property
    def roots(self) -> list[tuple[str, int]]:
        """The ends of the chains, with the number of tasks whose chain ends there; most tasks first."""
        ends = [node for node in self.graph if not self.graph.out_degree(node)]
        counts = [(node, self._behind(node)) for node in ends]
        return sorted((one for one in counts if one[1]), key=lambda one: (-one[1], one[0]))

    def share(self, *keys: str) -> float:
        """The share (0 to 1) of blocked tasks whose chain ends in one of these resources."""
        ends = [node for node, _ in self.roots if any(_fits(node, key) for key in keys)]
        before = set().union(*(nx.ancestors(self.graph, node) for node in ends)) if ends else set()
        behind = sum(len(group.tasks) for group in self.waiting if group.node in before)
        return behind / self.blocked if self.blocked else 0.0

    def _behind(self, node: str) -> int:
        before = nx.ancestors(self.graph, node)
        return sum(len(group.tasks) for group in self.waiting if group.node in before)

    @property
    def persists_s(self) -> float:
        """The longest time that a task is known to have waited, in seconds."""
        return max((group.persists_s for group in self.waiting), default=0.0)

    @property
    def lasting(self) -> bool:
        """Whether a task is known to have waited longer than on a busy but healthy machine."""
        return self.persists_s >= LASTING_S

    @property
    def stood(self) -> bool:
        """Whether an I/O of the harness's own has been pending for longer than slow storage explains."""
        return self.context.stood_s >= STOOD_S

    def notices(self, *kinds: NoticeKind) -> list[Cited]:
        """The last four lines of these kinds, as evidence."""
        return [cite_notice(notice) for notice in self.facts.noticed(*kinds)[-4:]]


def cite_notice(notice: Notice) -> Cited:
    """A line of the console as evidence."""
    return Cited(source=notice.source, line=notice.line, text=notice.text)


def _fits(key: str, wanted: str) -> bool:
    return key.startswith(wanted) if wanted.endswith(":") else key == wanted


def _edges(cycle: Sequence[str]) -> Iterator[tuple[str, str]]:
    return zip(cycle, [*cycle[1:], *cycle[:1]], strict=True)
