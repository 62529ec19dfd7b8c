"""The providers of hosts: selection for a topology, and clean-up of what dead runs owe to any of them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import psutil

from harness.guests import guest as guests
from harness.guests.provider import GuestProvider
from harness.inventory.cross_checks import Limits
from harness.inventory.inventory import Inventory, load_inventory
from harness.model.errors import InfraError
from harness.model.obligation import Obligation
from harness.model.settings import Settings
from harness.model.topology import Host, Topology
from harness.physical import offers as physical
from harness.physical.provider import PhysicalProvider
from harness.providers.mixed import MixedProvider
from harness.site.provider import Provider
from harness.state.reaper import reap
from harness.state.state import StateDir


def provider_of(settings: Settings, topology: Topology) -> Provider:
    """The provider for the hosts of `topology`, by their kind."""
    kinds = {kind_of(host) for host in topology.hosts}
    providers = {provider.name: provider for provider in all_providers(settings)}
    return providers[kinds.pop()] if len(kinds) == 1 else MixedProvider(providers, kind_of, offers_of)


def kind_of(host: Host) -> str:
    """The name of the provider of a host."""
    return GuestProvider.name if host.owned is None else PhysicalProvider.name


def offers_of(host: Host) -> frozenset[type]:
    """The capabilities that a host will offer."""
    return guests.offers(host) if kind_of(host) == GuestProvider.name else physical.offers(host)


def read_inventory(path: Path) -> Inventory:
    """The inventory in a file, checked against this machine and the reserved networks; see `load_inventory`."""
    return load_inventory(path, limits=limits())


def limits() -> Limits:
    """The limits for the values of any inventory."""
    return Limits(machine_memory=psutil.virtual_memory().total, reserved=GuestProvider.reserved)


def all_providers(settings: Settings) -> tuple[Provider, ...]:
    """Every provider."""
    return (PhysicalProvider(settings), GuestProvider(settings))


def fit(settings: Settings, topologies: Collection[Topology]) -> int:
    """How many trials to run at the same time, on the largest of the topologies; at least one."""
    return min(provider.fit(topologies) for provider in all_providers(settings))


def clean(settings: Settings) -> list[str]:
    """Remove what dead runs left behind, with any provider; one line for each thing."""
    providers = {provider.name: provider for provider in all_providers(settings)}

    def meet(obligation: Obligation) -> list[str]:
        if obligation.provider not in providers:
            raise InfraError(f"nobody here knows how to end a {obligation.kind} of {obligation.provider!r}")
        return providers[obligation.provider].reap(obligation)

    lines = reap(StateDir.of(settings), meet)
    return lines + [line for provider in providers.values() for line in provider.tidy()]
