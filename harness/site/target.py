"""Live hosts: the hosts of a topology, bound to the drivers that reach them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from harness.drivers.protocols import AgentLink, Console, Power, Shell
from harness.model.clock import Deadline
from harness.model.errors import UsageError
from harness.model.topology import Topology
from harness.site.capabilities import Offers, lacks
from harness.site.facts import DISK_KEYS, MANAGEMENT, Disk, HostFacts, Interface

C = TypeVar("C")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One live host: its facts, its channels and its capabilities.

    `shell` is for work, `probe_shell` a connection of its own for the ladder, so that neither waits for the other.
    `echo` is the address of the agent's TCP echo on the management network, None where this machine cannot reach it.
    `drivers` implement the capabilities of this host; `offers` has those of every host of its topology.
    """

    name: str
    facts: HostFacts
    shell: Shell
    probe_shell: Shell
    agent: AgentLink
    power: Power
    drivers: Mapping[type, object]
    offers: Offers
    echo: tuple[str, int] | None
    peers: tuple[str, ...]

    @property
    def console(self) -> Console | None:
        """Its console, if it takes input."""
        return self.find(Console)

    def find(self, kind: type[C]) -> C | None:
        """The driver that implements the protocol `kind`; None if this host does not offer it."""
        driver = self.drivers.get(kind)
        return driver if isinstance(driver, kind) else None

    def need(self, kind: type[C]) -> C:
        """The same; raises UsageError that says which hosts offer it."""
        found = self.find(kind)
        if found is None:
            raise UsageError(lacks("this case", self.name, kind, self.offers))
        return found

    def disk(self, name: str) -> Disk:
        """The disk called "root", "scratch" or "shared"; raises UsageError if there is none."""
        found = self.facts.disks.get(name)
        if found is None:
            raise UsageError(f"host {self.name!r} has no {name} disk; give it one, such as {DISK_KEYS.get(name, name)}")
        return found

    def interface(self, link: str) -> Interface:
        """The interface on a link; raises UsageError that lists the links."""
        found = self.facts.interfaces.get(link)
        if found is None:
            known = ", ".join(link for link in self.facts.interfaces if link != MANAGEMENT) or "none"
            raise UsageError(f"host {self.name!r} has no link {link!r}; its links are: {known}")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The live hosts of one topology, by role; `patience` scales every deadline.

    `failure` returns the first exception of the threads that read consoles and agents, if any: from then on a host's
    silence is no evidence.
    """

    topology: Topology
    targets: Mapping[str, Target]
    patience: float = 1.0
    failure: Callable[[], Exception | None] = lambda: None

    def role(self, role: str) -> Target:
        """The host that plays a role; raises UsageError that lists the roles."""
        name = self.topology.roles.get(role)
        if name is None:
            roles = ", ".join(sorted(self.topology.roles))
            raise UsageError(f"no role {role!r} in topology {self.topology.name!r}; its roles are: {roles}")
        return self.targets[name]

    def address(self, target: Target, seen_from: Target) -> str:
        """Where `seen_from` reaches `target`: over the first segment they share, or on itself."""
        if target.name == seen_from.name:
            return "127.0.0.1"
        for link in self.topology.links:
            if {target.name, seen_from.name} <= set(link.hosts):
                return target.interface(link.name).address.partition("/")[0]
        raise UsageError(
            f"topology {self.topology.name!r}: no link between {seen_from.name!r} and {target.name!r}; add one"
        )

    def deadline(self, seconds: float) -> Deadline:
        """A deadline `seconds` from now on a host as fast as this machine, later on slower ones."""
        slowest = max((target.facts.slowdown for target in self.targets.values()), default=1.0)
        return Deadline.after(seconds * max(1.0, slowest) * self.patience)
