"""The rule for a frozen file system, whose writers wait until it is thawed."""

from __future__ import annotations

import networkx as nx

from harness.diagnosis.graph.hang_model import Case, Group
from harness.diagnosis.read.facts import Step, Task
from harness.diagnosis.read.names import any_of
from harness.diagnosis.rules.claims import Claim, waiting
from harness.model.diagnosis import Cited, Confidence
from harness.model.hang_classes import HangClass

__all__ = ["frozen"]

_PROTECTION = ("lock:freeze protection", "lock:sb_writers", "lock:sb_pagefaults", "lock:sb_internal")
"""The lock's keys: by the functions that take it, and by lockdep's names for its three levels."""
_AT_IT = any_of(r"freeze_(?:super|bdev|fs) thaw_(?:super|bdev|fs)\w* (?:bdev|fs_bdev)_(?:freeze|thaw) do_thaw_all")
MOST = 0.75
"""The share of blocked tasks that must wait for the lock for it to be the cause."""


def frozen(case: Case) -> Claim | None:
    """Tasks that wait to begin a write; surer if no shown task freezes or thaws the file system."""
    at_it = [(task, step) for task in case.facts.tasks if (step := _at_it(task))]
    groups = [group for group in case.waiting if _protected(group)]
    writers = [(group, task) for group in groups for task in group.tasks if not _at_it(task)]
    if not writers:
        return None
    group, first = writers[0]
    who = ", ".join(f"{task.label} ({step.name})" for task, step in at_it[:3])
    firm = not at_it and _behind(case, groups) >= MOST
    return Claim(
        hang_class=HangClass.FILESYSTEM_FROZEN,
        confidence=Confidence.MEDIUM if firm else Confidence.LOW,
        title=f"{waiting(len(writers))} to begin a write to a file system that is frozen"
        + (f"; {who} is at work on that" if who else ""),
        explanation=f"{first.label} waits in {group.wait.function if group.wait else ''} for freeze protection, which "
        f"is taken before anything is changed. {_held_by(who)}",
        leaves="whoever froze it",
        evidence=(*(group.cite() for group in groups[:3]), *(_cite(task, step) for task, step in at_it[:3])),
        focus=tuple(group.node for group in groups),
    )


def _held_by(who: str) -> str:
    if who:
        return f"{who} freezes or thaws a file system at this moment, or is stuck in that: look at its stack first."
    return (
        "No task that is shown freezes or thaws, so it is held from user space: fsfreeze, a backup or snapshot tool, "
        "or a device-mapper device that was suspended together with its file system."
    )


def _at_it(task: Task) -> Step | None:
    """The frame in which a task freezes or thaws."""
    return next((step for step in task.path if _AT_IT.match(step.name)), None)


def _cite(task: Task, step: Step) -> Cited:
    return Cited(source=task.source, line=step.line, task=task.label, frame=step.name)


def _protected(group: Group) -> bool:
    return group.wait is not None and group.wait.key.startswith(_PROTECTION)


def _behind(case: Case, groups: list[Group]) -> float:
    """The share of blocked tasks that wait for freeze protection, directly or through other tasks."""
    nodes = {group.node for group in groups}
    nodes |= set().union(*(nx.ancestors(case.graph, node) for node in nodes))
    return sum(len(group.tasks) for group in case.waiting if group.node in nodes) / case.blocked
