"""The links of owned hosts: an interface's own address is used where it has one, else it gets one for the trial."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Interface

from harness.drivers.protocols import Shell
from harness.model.clock import Deadline
from harness.model.owned_host import OwnedHost
from harness.physical.survey import HostSurvey, SurveyedInterface

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


def give_addresses(
    shell: Shell,
    spec: OwnedHost,
    survey: HostSurvey,
    wanted: Mapping[str, str],
    deadline: Deadline,
    beside: Collection[str] = (),
) -> tuple[dict[str, str], list[Address]]:
    """The addresses with prefix on the links of `wanted`, and those among them that the host got now.

    An interface without an address gets the wanted one; on the links `beside` every interface gets it, beside its own.
    """
    interfaces = {one.name: one for one in survey.interfaces}
    found: dict[str, str] = {}
    given: list[Address] = []
    for link, address in wanted.items():
        interface = interfaces[spec.links[link]]  # the interlocks have looked whether it is there
        own = own_addresses(interface)
        if link in beside:
            own = [text for text in own if text == address]
        if not own:
            shell.run(ADD, interface.name, address, interface.name, deadline=deadline)
            given.append(Address(interface=interface.name, address=address, was_up=interface.up))
        found[link] = own[0] if own else address
    return found, given


def own_addresses(interface: SurveyedInterface) -> list[str]:
    """The IPv4 addresses of an interface, with prefix, that others can reach."""
    return [text for text in interface.addresses if ":" not in text and not IPv4Interface(text).is_link_local]
