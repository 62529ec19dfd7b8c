"""What a sandbox notes of its hosts, for whoever wants to use them."""

from __future__ import annotations

from typing import Any

from harness.model.topology import Host, Topology
from harness.sandbox.guests import SandboxRequest
from harness.sandbox.secure_shell import address_of
from harness.sandbox.storages import place_of
from harness.site.addressing import interfaces
from harness.site.target import Site


def record_of(site: Site, request: SandboxRequest) -> dict[str, Any]:
    """What `sandbox.json` says of the hosts and the storage."""
    topology, storage = site.topology, request.storage
    hosts = [
        {
            "name": target.name,
            "roles": [role for role, host in topology.roles.items() if host == target.name],
            "kernel": target.kernel,
            "memory": target.memory,
            "cpus": target.cpus,
            "addresses": _addresses(topology, target.host),
            "port": address_of(target).port,
        }
        for target in site.targets.values()
    ]
    described = None if storage is None else {"about": storage.describe(), "place": place_of(storage)}
    return {"topology": topology.name, "hosts": hosts, "storage": described}


def _addresses(topology: Topology, host: Host) -> list[str]:
    """What other hosts reach it at, without the prefix."""
    return [card.address.partition("/")[0] for card in interfaces(topology, host) if card.link]
