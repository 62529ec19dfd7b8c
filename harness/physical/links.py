"""The links of owned hosts: an interface's own address is used where it has one, else it gets one for the trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Interface

from harness.drivers.protocols import Shell
from harness.model.clock import Deadline
from harness.model.errors import UsageError
from harness.model.owned_host import OwnedHost
from harness.physical.survey import HostSurvey

ADD = "ip link set dev %s up && ip address add %s dev %s"
REMOVE = "ip address del %s dev %s"
DOWN = "ip link set dev %s down"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """An address that an interface got; `was_up`: so was the interface before."""

    interface: str
    address: str
    was_up: bool

    def take_away(self, shell: Shell, deadline: Deadline) -> None:
        """Remove it again."""
        shell.run(REMOVE, self.address, self.interface, deadline=deadline)
        if not self.was_up:
            shell.run(DOWN, self.interface, deadline=deadline)


def own_addresses(host: str, spec: OwnedHost, survey: HostSurvey, links: Mapping[str, str]) -> dict[str, str]:
    """The addresses with prefix that the interfaces of `links` have already, by link; "" for one that has none.

    Raises UsageError if the host has no such interface.
    """
    found = {}
    for link in links:
        name = spec.links[link]
        interface = next((one for one in survey.interfaces if one.name == name), None)
        if interface is None:
            known = ", ".join(one.name for one in survey.interfaces)
            raise UsageError(f"host {host}: link {link!r} is interface {name!r} in the inventory; it has: {known}")
        addresses = [IPv4Interface(text) for text in interface.addresses if ":" not in text]
        usable = [address for address in addresses if not address.is_link_local]
        found[link] = str(usable[0]) if usable else ""
    return found
