"""The diagnosis of a hang: which tasks wait for what, and where the chain of waits leads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from harness.model.hang_classes import HangClass, Remedy


class Confidence(StrEnum):
    """`high`: the text shows the whole chain; `medium`: nearly all of it, or the kernel itself reports it.

    `low`: it fits, but other explanations fit as well.
    """

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class NodeKind(StrEnum):
    """Kinds of nodes in the graph of waits."""

    TASK = "task"
    LOCK = "lock"
    PAGE = "page"
    RPC = "rpc"
    REQUEST = "request"
    WORK = "work"
    MEMORY = "memory"
    DEVICE = "device"
    SERVER = "server"
    PROCESSOR = "processor"
    REMOTE = "remote"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cited:
    """A piece of evidence: `line` (1-based) of `source`, a file of the run or "console"; `frame` is a function name."""

    source: str
    line: int
    task: str = ""
    frame: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A waiter or what it waits for; tasks in the same wait are one node, `count` says how many."""

    name: str
    kind: NodeKind
    label: str
    detail: str = ""
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """`waiter` waits for `awaited`, both names of nodes; `sure` is false if the text only implies it."""

    waiter: str
    awaited: str
    label: str
    evidence: tuple[Cited, ...] = ()
    sure: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """The explanation of a hang.

    `title` is one line, `explanation` a few sentences. `cycle` names the nodes of a closed circle in order. If there is
    none, `leaves` says where the chain leaves the machine or the text. `confirm` lists checks that would confirm or
    refute the diagnosis.
    """

    hang_class: HangClass
    confidence: Confidence
    title: str
    explanation: str = ""
    nodes: tuple[Node, ...] = ()
    edges: tuple[Edge, ...] = ()
    cycle: tuple[str, ...] = ()
    leaves: str = ""
    evidence: tuple[Cited, ...] = ()
    confirm: tuple[str, ...] = ()
    remedies: tuple[Remedy, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The diagnosis as plain JSON values, its class under `class`."""
        record = asdict(self)
        record["class"] = record.pop("hang_class")
        return {key: _plain(value) for key, value in record.items()}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Diagnosis:
        """The diagnosis that `to_dict` wrote; raises KeyError, TypeError or ValueError on anything else."""
        return cls(
            hang_class=HangClass(record["class"]),
            confidence=Confidence(record["confidence"]),
            title=str(record["title"]),
            explanation=str(record.get("explanation", "")),
            nodes=tuple(Node(**{**node, "kind": NodeKind(node["kind"])}) for node in record.get("nodes", ())),
            edges=tuple(_edge(edge) for edge in record.get("edges", ())),
            cycle=tuple(record.get("cycle", ())),
            leaves=str(record.get("leaves", "")),
            evidence=tuple(Cited(**cited) for cited in record.get("evidence", ())),
            confirm=tuple(record.get("confirm", ())),
            remedies=tuple(Remedy(**remedy) for remedy in record.get("remedies", ())),
        )


def _edge(record: Mapping[str, Any]) -> Edge:
    return Edge(**{**record, "evidence": tuple(Cited(**cited) for cited in record.get("evidence", ()))})


def _plain(value: Any) -> Any:
    """Tuples as lists and enumerations as their values, all the way down."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value.value if isinstance(value, StrEnum) else value
