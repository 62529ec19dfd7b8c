"""Addresses of hosts on the segments of their topology, and paths on a guest."""

from __future__ import annotations

import ipaddress

from harness.model.topology import Host, Topology

SEED = "/run/harness"  # where vm-images/init.c puts the files of the seed archive


def address_of(topology: Topology, link: str, host: str) -> str:
    """The address of a host on a segment, such as 10.77.0.1."""
    segment = next(segment for segment in topology.links if segment.name == link)
    network = ipaddress.ip_network(segment.subnet)
    return str(network[1 + segment.hosts.index(host)])


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
    """The path of a module of our own in a guest, for insmod."""
    return f"{SEED}/modules/{name}.ko"
