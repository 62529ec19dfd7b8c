"""Power of hosts that somebody owns: a BMC, or commands of the owner's."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from harness.drivers.bmc.base import PowerDriver
from harness.drivers.bmc.command import CommandPower
from harness.drivers.bmc.ipmi import IpmiPower
from harness.drivers.bmc.labs import labgrid_power, pdudaemon_power
from harness.drivers.bmc.redfish import RedfishPower
from harness.model.owned_host import PowerSpec

__all__ = ["DRIVERS", "PowerDriver", "power_of"]

# One record for each driver, by its name in the inventory.
DRIVERS: Mapping[str, Callable[[PowerSpec, str], PowerDriver]] = {
    "ipmi": IpmiPower,
    "redfish": RedfishPower,
    "command": CommandPower,
    "pdudaemon": pdudaemon_power,
    "labgrid": labgrid_power,
}


def power_of(spec: PowerSpec, host: str) -> PowerDriver:
    """The power source of `host`; nothing is contacted yet."""
    return DRIVERS[spec.driver](spec, host)
