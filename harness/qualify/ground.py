"""What the stages of a qualification share: its hosts, the links between them, and the run that keeps the results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from harness.fabric.golden import Golden
from harness.model.settings import Settings
from harness.model.topology import Host, Link, Topology
from harness.results.store import RunStore

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """`hosts` are those that are qualified, `links` connect some of them; `say` shows one line of progress.

    `golden` is the fabric as it should be, if one was recorded.
    """

    settings: Settings
    store: RunStore
    hosts: tuple[Host, ...]
    links: tuple[Link, ...]
    hours: float
    say: Say
    golden: Golden | None = None

    def without(self, names: set[str]) -> Ground:
        """The same without some hosts, and without links that connect fewer than two of the others."""
        hosts = tuple(host for host in self.hosts if host.name not in names)
        return replace(self, hosts=hosts, links=_links(self.links, {host.name for host in hosts}))

    def host(self, name: str) -> Host:
        """The host of that name; raises KeyError."""
        return {host.name: host for host in self.hosts}[name]

    def everything(self) -> Topology:
        """All hosts and links; each host plays a role of its own name."""
        return Topology(
            name="qualify", hosts=self.hosts, roles={host.name: host.name for host in self.hosts}, links=self.links
        )

    def pair(self, link: Link, client: str, server: str) -> Topology:
        """Two hosts on one link, in the roles of the cases."""
        return Topology(
            name="qualify",
            hosts=(self.host(client), self.host(server)),
            roles={"client": client, "server": server},
            links=(replace(link, hosts=(client, server)),),
        )

    def alone(self, name: str) -> Topology:
        """One host in both roles."""
        return Topology(name="qualify", hosts=(self.host(name),), roles={"client": name, "server": name})


def _links(links: Sequence[Link], names: set[str]) -> tuple[Link, ...]:
    kept = (replace(link, hosts=tuple(host for host in link.hosts if host in names)) for link in links)
    return tuple(link for link in kept if len(link.hosts) > 1)


def links_of(topologies: Sequence[Topology], hosts: Sequence[str]) -> tuple[Link, ...]:
    """The links of the inventory's topologies between these hosts; those of one name are one link."""
    found: dict[str, Link] = {}
    for topology in topologies:
        for link in topology.links:
            before = found.get(link.name, replace(link, hosts=()))
            members = dict.fromkeys((*before.hosts, *link.hosts))
            found[link.name] = replace(before, hosts=tuple(members))
    return _links(list(found.values()), set(hosts))
