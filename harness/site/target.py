"""A live host: what the topology says of it, bound to the drivers that reach it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness.drivers.protocols import AgentLink, Hypervisor, Shell
from harness.model.clock import Deadline
from harness.model.errors import UsageError
from harness.model.topology import Host, Topology
from harness.site.addressing import address_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One live host.

    `shell` is for work, `probe_shell` a connection of its own for the ladder, so that neither waits for the other.
    `echo` is where a TCP connection to the agent's echo goes, over the management network. `memory` is what the kernel
    has, in bytes; `slowdown` how many times slower than this machine the host is, measured on it.
    """

    host: Host
    shell: Shell
    probe_shell: Shell
    agent: AgentLink
    hypervisor: Hypervisor
    echo: tuple[str, int]
    memory: int
    cpus: int
    slowdown: float
    kernel: str
    peers: tuple[str, ...]

    @property
    def name(self) -> str:
        """The host's name in the topology."""
        return self.host.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The live hosts of one topology, by role; `patience` scales every deadline.

    `failure` returns the first exception of what reads their consoles and agents, if there was one: from then on a
    host's silence says nothing.
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
                return address_of(self.topology, link.name, target.name)
        raise UsageError(
            f"topology {self.topology.name!r}: no link between {seen_from.name!r} and {target.name!r}; add one"
        )

    def deadline(self, seconds: float) -> Deadline:
        """A deadline `seconds` from now on a host as fast as this machine, and later on slower ones."""
        slowest = max((target.slowdown for target in self.targets.values()), default=1.0)
        return Deadline.after(seconds * max(1.0, slowest) * self.patience)
