"""Capabilities of owned hosts, known from the inventory before anything starts, and power for hosts without any."""

from __future__ import annotations

from harness.drivers.protocols import Console, NmiInjector, Power
from harness.model.clock import Deadline
from harness.model.errors import InfraError
from harness.model.owned_host import OwnedHost
from harness.model.power import PowerState
from harness.model.topology import Host

NMI_DRIVERS = ("ipmi", "redfish")
DEAF_CONSOLES = ("none", "netconsole")  # they take no input


class NoPower:
    """The power source of a host that has none."""

    source = "nobody"
    period_s = 60.0

    def __init__(self, host: str) -> None:
        self._host = host

    def state(self, *, deadline: Deadline) -> PowerState:
        """See `Power.state`."""
        return PowerState.UNKNOWN

    def off(self, *, deadline: Deadline) -> None:
        """See `Power.off`."""
        raise InfraError(f"host {self._host} has no power source in the inventory")

    def cycle(self, *, deadline: Deadline) -> None:
        """See `Power.cycle`."""
        self.off(deadline=deadline)


def owned(host: Host) -> OwnedHost:
    """What the inventory says of an owned host."""
    assert host.owned is not None, f"host {host.name} is a guest"
    return host.owned


def offers(host: Host) -> frozenset[type]:
    """Capabilities of an owned host once it is up."""
    spec = owned(host)
    found: set[type] = set()
    if spec.power is not None:
        found.add(Power)
        if spec.power.driver in NMI_DRIVERS:
            found.add(NmiInjector)
    if spec.console.driver not in DEAF_CONSOLES:
        found.add(Console)
    return frozenset(found)
