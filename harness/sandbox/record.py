"""The record of a sandbox's hosts and storage for other programs."""

from __future__ import annotations

from typing import Any

from harness.sandbox.guests import SandboxRequest
from harness.sandbox.secure_shell import address_of
from harness.sandbox.storages import place_of
from harness.site.facts import MANAGEMENT
from harness.site.target import Site, Target


def record_of(site: Site, request: SandboxRequest) -> dict[str, Any]:
    """The content of `sandbox.json`: hosts and storage."""
    topology, storage = site.topology, request.storage
    hosts = [
        {
            "name": target.name,
            "roles": [role for role, host in topology.roles.items() if host == target.name],
            "kernel": target.facts.kernel,
            "memory": target.facts.memory,
            "cpus": target.facts.cpus,
            "addresses": _addresses(target),
            "login": address_of(target).name,
            "port": address_of(target).port,
        }
        for target in site.targets.values()
    ]
    described = None if storage is None else {"about": storage.describe(), "place": place_of(storage)}
    return {"topology": topology.name, "hosts": hosts, "storage": described}


def _addresses(target: Target) -> list[str]:
    """Its addresses for other hosts, without the prefix length."""
    interfaces = target.facts.interfaces
    return [interfaces[link].address.partition("/")[0] for link in interfaces if link != MANAGEMENT]
