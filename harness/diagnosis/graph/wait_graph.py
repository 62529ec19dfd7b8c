"""Construction of the wait-for graph: nodes are groups of tasks in the same wait, and the resources they wait for."""

from __future__ import annotations

from collections.abc import Sequence

from harness.diagnosis.graph.hang_model import Case, Group
from harness.diagnosis.graph.host_context import HostContext, serves
from harness.diagnosis.graph.implied import imply
from harness.diagnosis.graph.locks import held_in
from harness.diagnosis.graph.traits import Trait
from harness.diagnosis.graph.waits import Wait, wait_of
from harness.diagnosis.read.facts import Facts, Held, Step, Task
from harness.model.diagnosis import Cited, NodeKind

__all__ = ["build"]

MOST_GROUPS = 48
_TELLING = frozenset({
    Trait.RECLAIM, Trait.MEMCG, Trait.NFS, Trait.NFSD, Trait.HANDLE, Trait.STORAGE_SEND, Trait.WRITEBACK, Trait.LOOP,
})  # fmt: skip
"""Traits that put two tasks with the same wait into different groups."""


def build(facts: Facts, context: HostContext) -> Case:
    """The wait-for graph of one host."""
    case = Case(facts, context)
    waits = [(task, wait_of(task)) for task in facts.tasks]
    wanted = {wait.key for _, wait in waits if wait}
    _make_groups(case, [(task, wait) for task, wait in waits if wait or _only_holds(task, wanted)], wanted)
    for group in case.waiting:
        _own_wait(case, group)
    for group in case.groups:
        _listed(case, group)
    _owners(case)
    for group in case.waiting:
        _seen(case, group)
    imply(case)
    return case


def _only_holds(task: Task, wanted: set[str]) -> bool:
    """A task without a stack that, by lockdep's list, holds what another task waits for."""
    return not task.steps and any(key in wanted for held in _surely_held(task, None) for key in _keys(held))


def _make_groups(case: Case, waits: Sequence[tuple[Task, Wait | None]], wanted: set[str]) -> None:
    groups: dict[object, Group] = {}
    for task, wait in waits:
        has = {key: step for key, step in held_in(task.path).items() if key in wanted} if wait else {}
        found = groups.get(mark := _mark(task, wait, has, wanted))
        if found is None:
            groups[mark] = Group("", [task], wait, has)
        else:
            found.tasks.append(task)
    ordered = sorted(groups.values(), key=lambda group: -len(group.tasks))
    pivotal = [group for group in ordered if group.has or group.wait is None or serves(group.first.name)]
    chosen = {id(group): group for group in pivotal[:MOST_GROUPS] + ordered[:MOST_GROUPS]}
    for group in chosen.values():
        group.tasks.sort(key=lambda task: -len(task.steps))
        group.node = _node_name(group)
        detail = group.wait.function if group.wait else ""
        case.graph.add_node(
            group.node, kind=NodeKind.TASK, label=_names(group.tasks), detail=detail, count=len(group.tasks)
        )
        case.groups.append(group)


def _mark(task: Task, wait: Wait | None, has: dict[str, Step], wanted: set[str]) -> object:
    """The key that tasks of one group share."""
    if wait is None:
        return task.label
    locks = frozenset(key for held in _surely_held(task, wait) for key in _keys(held) if key in wanted)
    others = frozenset(has) - {wait.key}
    return wait.key, wait.traits & _TELLING, others, serves(task.name), locks


def _node_name(group: Group) -> str:
    more = f" +{len(group.tasks) - 1}" if len(group.tasks) > 1 else ""
    pid = f":{group.first.pid}" if group.first.pid is not None else f" at line {group.first.line}"
    return f"{group.first.name}{pid}{more}"


def _names(tasks: Sequence[Task]) -> str:
    names = list(dict.fromkeys(task.name for task in tasks))
    shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
    return f"{len(tasks)} × {shown}" if len(tasks) > 1 else tasks[0].label


def _own_wait(case: Case, group: Group) -> None:
    """The edge from a group to its resource; via memory if the wait is part of freeing some."""
    wait = group.wait
    if wait is None:
        return
    target = case.resource(wait.key, wait.kind, wait.label)
    if Trait.RECLAIM not in wait.traits or wait.key in ("memory", "memcg"):
        case.link(group.node, target, f"waits for {wait.label}", [group.cite()])
        return
    charged = Trait.MEMCG in wait.traits
    key, label = ("memcg", "memory of a control group") if charged else ("memory", "free memory")
    memory = case.resource(key, NodeKind.MEMORY, label)
    case.link(group.node, memory, f"needs {label}", [group.shows(Trait.RECLAIM)])
    shown = [group.cite(), *([group.shows(Trait.SWAP_OUT)] if Trait.SWAP_OUT in wait.traits else [])]
    case.link(memory, target, f"to free some, waits for {wait.label}", shown)


def _surely_held(task: Task, wait: Wait | None) -> Sequence[Held]:
    """The locks of lockdep's list, without the last if the task may still wait for that one."""
    if not task.held:
        return ()
    waited = wait is None or wait.key in _keys(task.held[-1])
    return task.held[:-1] if waited else task.held


def _keys(held: Held) -> tuple[str, ...]:
    """The resource of a lock of lockdep's list, spelt as in waits.

    A lock class has a member for each object; the name alone identifies only a static lock.
    """
    static = not held.address or held.address.startswith("ffffffff")
    return (f"lock:{held.lock}",) if static else (f"lock:{held.lock}@{held.address}",)


def _listed(case: Case, group: Group) -> None:
    """Edges from locks to the groups that hold them by lockdep's list."""
    for task in group.tasks:
        for held in _surely_held(task, group.wait):
            for key in _keys(held):
                if key in case.graph:
                    cited = Cited(source=task.source, line=held.line, task=task.label, frame=held.at, text=held.lock)
                    case.link(key, group.node, "is held by", [cited])


def _owners(case: Case) -> None:
    """Edges from locks to their likely owners as reported by the kernel."""
    by_pid = {task.pid: group for group in case.groups for task in group.tasks if task.pid is not None}
    for group in case.waiting:
        for task in group.tasks:
            if task.owner is None or group.wait is None:
                continue
            owner = by_pid.get(task.owner)
            node = owner.node if owner else case.resource(f"pid {task.owner}", NodeKind.TASK, f"pid {task.owner}")
            text = f"{task.lock_kind} likely owned by pid {task.owner}"
            cited = Cited(source=task.source, line=task.line, task=task.label, text=text)
            if node != group.node:
                case.link(group.wait.key, node, "is held by", [cited])


def _seen(case: Case, group: Group) -> None:
    """Edges from resources that a group holds by its stack, if neither lockdep nor the kernel named a holder."""
    for key, step in group.has.items():
        known = any(case.sure(key, holder) for holder in case.graph.successors(key)) if key in case.graph else True
        if known or (group.wait and key == group.wait.key):
            continue
        only = all(other.wait.alike for other in case.on(key) if other.wait)
        case.link(key, group.node, "is held by", [group.cite(step)], sure=only and key.startswith("lock:"))
