"""Addresses of hosts on the segments of their topology, and where things lie on a guest."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from harness.model.topology import Host, Topology

SEED = "/run/harness"  # where vm-images/init.c leaves what a guest brings along
MANAGEMENT_ADDRESS = "10.0.2.15/24"  # what QEMU's user-mode network forwards to


@dataclass(frozen=True, slots=True)
class Interface:
    """One network card inside a guest; `link` is "" for the management network."""

    name: str
    link: str
    address: str


def address_of(topology: Topology, link: str, host: str) -> str:
    """The address of a host on a segment, such as 10.77.0.1."""
    segment = next(segment for segment in topology.links if segment.name == link)
    network = ipaddress.ip_network(segment.subnet)
    return str(network[1 + segment.hosts.index(host)])


def interfaces(topology: Topology, host: Host) -> list[Interface]:
    """The cards of a host: management first, then one a segment, in the order of the topology."""
    cards = [Interface("eth0", "", MANAGEMENT_ADDRESS)]
    for segment in topology.links:
        if host.name in segment.hosts:
            prefix = ipaddress.ip_network(segment.subnet).prefixlen
            address = f"{address_of(topology, segment.name, host.name)}/{prefix}"
            cards.append(Interface(f"eth{len(cards)}", segment.name, address))
    return cards


def peers(topology: Topology, host: Host) -> list[str]:
    """Addresses of all other hosts that share a segment with this one."""
    return [
        address_of(topology, segment.name, other)
        for segment in topology.links
        if host.name in segment.hosts
        for other in segment.hosts
        if other != host.name
    ]


def own_module_path(name: str) -> str:
    """Where a module of our own lies in a guest, for insmod."""
    return f"{SEED}/modules/{name}.ko"
