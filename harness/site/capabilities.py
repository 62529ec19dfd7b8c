"""Capabilities that the parts of a plan require of their hosts besides a shell and an agent, and that hosts offer.

Both are known before anything starts, so a case is refused then if its hosts lack a capability.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from harness.model.errors import UsageError
from harness.model.topology import Topology

Capabilities = Mapping[str, tuple[type, ...]]  # by role: protocols of harness/drivers/protocols.py
Offers = Mapping[str, frozenset[type]]  # the same, by host


@runtime_checkable
class Requiring(Protocol):
    """A part of a plan that not every host can carry out."""

    def requires(self) -> Capabilities:
        """The capabilities that the hosts of its roles must offer."""


def required_by(part: object) -> Capabilities:
    """The capabilities that `part` requires; none if it does not declare any."""
    return part.requires() if isinstance(part, Requiring) else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """The part `part` of a plan requires that `host` offers `capability`."""

    part: str
    host: str
    capability: type


def requirements(parts: Iterable[object], topology: Topology) -> tuple[Requirement, ...]:
    """All requirements of the parts, each once; roles that the topology lacks are skipped: their users report them."""
    found = (
        Requirement(part=type(part).__name__, host=topology.roles[role], capability=capability)
        for part in parts
        for role, capabilities in required_by(part).items()
        for capability in capabilities
        if role in topology.roles
    )
    return tuple(dict.fromkeys(found))


def check_offers(required: Iterable[Requirement], offers: Offers) -> None:
    """Raises UsageError, with a line for each capability that a host lacks."""
    lines = [
        lacks(need.part, need.host, need.capability, offers)
        for need in required
        if need.capability not in offers[need.host]
    ]
    if lines:
        raise UsageError("\n".join(lines))


def lacks(who: str, host: str, capability: type, offers: Offers) -> str:
    """One line: who needs what, which host does not offer it, and which hosts do."""
    others = ", ".join(name for name, offered in offers.items() if capability in offered)
    way_out = f"of its topology, these do: {others}" if others else "no host of its topology does; a guest would"
    return f"{who} needs {capability.__name__}, which host {host!r} does not offer; {way_out}"
