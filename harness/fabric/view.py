"""A fabric as one host sees it: nodes, links, counters of errors, and who manages it. All GUIDs are texts, 0x… ."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

ACTIVE = "Active"
# Gb/s of a lane, for the names that tools give to speeds without a number.
SPEEDS = {"FDR10": 10.3125, "SDR": 2.5, "DDR": 5.0, "QDR": 10.0, "FDR": 14.0625, "EDR": 25.78125, "HDR": 53.125}


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A switch or an adapter (`kind`: Switch, Ca, Rt), with its number of ports."""

    guid: str
    kind: str
    name: str
    ports: int


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """A port: `guid` is that of the port of an adapter, or of a whole switch."""

    guid: str
    port: int
    name: str

    def __str__(self) -> str:
        """In words."""
        return f"{self.name or self.guid} port {self.port}"

    @property
    def key(self) -> tuple[str, int]:
        """What identifies it; a name need not be the only one."""
        return self.guid, self.port


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A cable between two ports, with its width (4X) and the speed of a lane; `could_be` is what both ends could do.

    `could_be` is empty if that is no more. `state` is Active once a subnet manager has set it up, Initialize before.
    """

    ends: tuple[End, End]
    width: str
    speed: str
    state: str
    could_be: str

    def __str__(self) -> str:
        """In words."""
        return f"{self.ends[0]} – {self.ends[1]}"

    @property
    def key(self) -> frozenset[tuple[str, int]]:
        """What identifies it, from either end."""
        return frozenset(end.key for end in self.ends)

    @property
    def gbps(self) -> float:
        """Lanes times the speed of a lane in Gb/s, 0 if that is not known."""
        lanes, lane = re.match(r"\d+", self.width), re.match(r"[\d.]+", self.speed)
        rate = float(lane[0]) if lane else SPEEDS.get(self.speed.strip(), 0.0)
        return int(lanes[0]) * rate if lanes else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PortErrors:
    """The counters of a port that are not 0. `guid` is as ibqueryerrors has it."""

    guid: str
    port: int
    name: str
    counters: Mapping[str, int]

    def __str__(self) -> str:
        """Where."""
        return f"{self.name or self.guid} port {self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manager:
    """The subnet manager: `state` is MASTER, STANDBY, DISCOVERING or NOTACTIVE."""

    lid: int
    guid: str
    priority: int
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fabric:
    """What a host sees.

    `down` are ports without a link. `errors` is None if they could not be read, since nobody answers for the subnet.
    `traffic` has the counters of the host's own port: data in units of four bytes, and packets.
    """

    nodes: tuple[Node, ...]
    links: tuple[Link, ...]
    down: tuple[End, ...]
    errors: tuple[PortErrors, ...] | None
    manager: Manager | None
    traffic: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        """How large it is."""
        switches = sum(node.kind == "Switch" for node in self.nodes)
        return f"{switches} switches, {len(self.nodes) - switches} adapters, {len(self.links)} links"

    def to_dict(self) -> dict[str, Any]:
        """The view as JSON has it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Fabric:
        """The view of `to_dict`; raises KeyError, TypeError or ValueError if it is something else."""
        errors = values["errors"]
        return cls(
            nodes=tuple(Node(**one) for one in values["nodes"]),
            links=tuple(_link(one) for one in values["links"]),
            down=tuple(End(**one) for one in values["down"]),
            errors=None if errors is None else tuple(PortErrors(**one) for one in errors),
            manager=Manager(**values["manager"]) if values["manager"] is not None else None,
            traffic=dict(values["traffic"]),
        )


def _link(values: Mapping[str, Any]) -> Link:
    first, second = values["ends"]
    return Link(**{**values, "ends": (End(**first), End(**second))})
