"""From facts to the diagnosis: every rule examines the case, the surest claim wins."""

from __future__ import annotations

from collections.abc import Callable

import networkx as nx

from harness.diagnosis.graph.hang_model import Case
from harness.diagnosis.graph.host_context import HostContext
from harness.diagnosis.graph.wait_graph import build
from harness.diagnosis.read.facts import Facts, Task
from harness.diagnosis.rules import frozen, memory, storage, stuck
from harness.diagnosis.rules.claims import Claim, waiting
from harness.diagnosis.rules.known import remedies_of
from harness.model.diagnosis import Cited, Confidence, Diagnosis, Edge, Node
from harness.model.hang_classes import HANG_CLASSES, HangClass

__all__ = ["diagnose"]

MOST_NODES = 24
_RULES: tuple[Callable[[Case], Claim | None], ...] = (
    memory.local_storage_server,
    memory.swap_over_network,
    memory.loopback_nfs,
    memory.memcg_reclaim,
    stuck.workqueue_starved,
    stuck.processor_stuck,
    stuck.journal_stuck,
    frozen.frozen,
    storage.nfs_unreachable,
    storage.throttled,
    storage.slow,
    storage.block_stuck,
    stuck.lock_holder,
)
"""Of two equally sure claims the earlier rule's wins, since earlier rules need more evidence."""


def diagnose(facts: Facts, context: HostContext | None = None) -> Diagnosis | None:
    """Why the tasks of one host hang; None if none waits and no processor is stuck."""
    case = build(facts, context or HostContext())
    if not (case.waiting or facts.stalls or _bare(facts)):
        return None
    claims = [claim for rule in _RULES if (claim := rule(case))]
    claim = max(claims, key=lambda one: one.rank, default=None) or _unknown(case)
    return _written(case, claim)


def _bare(facts: Facts) -> list[Task]:
    """Blocked tasks without a stack in the text."""
    return [task for task in facts.tasks if not task.steps and (task.hung_s or task.state == "D")]


def _unknown(case: Case) -> Claim:
    ends = [(str(case.graph.nodes[node]["label"]), count) for node, count in case.roots[:3]]
    text = "; ".join(f"{count} for {label}" for label, count in ends) or "for each other"
    bare = _bare(case.facts)
    title = f"{waiting(case.blocked)}: {text}" if case.blocked else f"{len(bare)} tasks are blocked and show no stack"
    return Claim(
        hang_class=HangClass.UNKNOWN,
        confidence=Confidence.LOW,
        title=title,
        explanation="The text does not say why this does not come to an end. The chain as far as it goes is in the "
        "graph.",
        leaves=ends[0][0] if ends else "",
        evidence=(
            *(group.cite() for group in case.waiting[:4]),
            *(Cited(source=task.source, line=task.line, task=task.label) for task in bare[:4]),
        ),
    )


def _written(case: Case, claim: Claim) -> Diagnosis:
    shown = _shown(case, claim)
    nodes = tuple(Node(name=node, **case.graph.nodes[node]) for node in case.graph if node in shown)
    edges = tuple(
        Edge(waiter=waiter, awaited=awaited, **data)
        for waiter, awaited, data in case.graph.edges(data=True)
        if waiter in shown and awaited in shown
    )
    return Diagnosis(
        hang_class=claim.hang_class,
        confidence=claim.confidence,
        title=claim.title,
        explanation=claim.explanation,
        nodes=nodes,
        edges=edges,
        cycle=claim.cycle,
        leaves=claim.leaves,
        evidence=tuple(dict.fromkeys(claim.evidence)),
        confirm=HANG_CLASSES[claim.hang_class].confirm,
        remedies=remedies_of(claim.hang_class, case),
    )


def _shown(case: Case, claim: Claim) -> set[str]:
    """The nodes to show: all, or if there are too many the focus and its neighbours, most tasks first."""
    linked = {node for node in case.graph if case.graph.degree(node)}
    if len(linked) <= MOST_NODES:
        return linked | (set(claim.cycle) & set(case.graph))
    focus = [node for node in (*claim.cycle, *claim.focus, *(node for node, _ in case.roots)) if node in case.graph]
    near = {other for node in focus for other in nx.all_neighbors(case.graph, node)}
    ordered = sorted(near, key=lambda node: -int(case.graph.nodes[node]["count"]))
    return set(list(dict.fromkeys([*focus, *ordered]))[:MOST_NODES])
