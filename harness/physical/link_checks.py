"""What speaks against the addresses that hosts would have on their links, found before anything is changed.

Pure: it follows from the topology and the surveys of its owned hosts. Each reason is one line with the way out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network

from harness.model.owned_host import OwnedHost
from harness.model.topology import Link, Topology
from harness.physical.links import own_addresses
from harness.physical.proposal import INFINIBAND
from harness.physical.survey import HostSurvey, SurveyedInterface
from harness.site.addressing import address_of


@dataclass(frozen=True, slots=True)
class _End:
    """An owned host's end of a link: `given` if it gets the address that it is counted as."""

    host: str
    card: SurveyedInterface
    others: tuple[SurveyedInterface, ...]
    own: tuple[IPv4Interface, ...]
    given: bool


def disagreements(topology: Topology, found: Mapping[str, tuple[OwnedHost, HostSurvey]]) -> list[str]:
    """Why the hosts of a topology would not reach each other on its links, or others no more; empty if they would.

    `found` has the owned hosts of the topology, each with the interfaces of its links; all others are guests.
    """
    return [reason for link in topology.links for reason in _link(topology, link, found)]


def _link(topology: Topology, link: Link, found: Mapping[str, tuple[OwnedHost, HostSurvey]]) -> Iterator[str]:
    ends = [_end(link, name, *found[name]) for name in link.hosts if name in found]
    keeping = {end.host for end in ends if not end.given}
    given = {name: IPv4Interface(address_of(topology, link.name, name)) for name in link.hosts if name not in keeping}
    for end in ends:
        yield from _no_bridge(link, end)
        yield from _taken(link, end, given)
        yield from _elsewhere(link, end)
        yield from _apart(link, end, given)


def _end(link: Link, name: str, spec: OwnedHost, survey: HostSurvey) -> _End:
    card = next(one for one in survey.interfaces if one.name == spec.links[link.name])
    own = tuple(IPv4Interface(text) for text in own_addresses(card))
    others = tuple(one for one in survey.interfaces if one.name != card.name)
    return _End(name, card, others, own, given=bool(link.switch) or not own)


def _no_bridge(link: Link, end: _End) -> Iterator[str]:
    if link.switch and end.card.type == INFINIBAND:
        yield (
            f"host {end.host}: link {link.name} has guests, and {end.card.name} is IPoIB, which no bridge takes; "
            "name an Ethernet interface"
        )


def _taken(link: Link, end: _End, given: Mapping[str, IPv4Interface]) -> Iterator[str]:
    for card in (end.card, *end.others):
        for own in own_addresses(card):
            for other, address in given.items():
                if other != end.host and IPv4Interface(own).ip == address.ip:
                    yield (
                        f"host {end.host}: its {card.name} has {address.ip}, which {other} would get on link "
                        f"{link.name}; {_another(link) if end.given else _its_own(other)}"
                    )


def _elsewhere(link: Link, end: _End) -> Iterator[str]:
    subnet = IPv4Network(link.subnet)
    for card in end.others if end.given else ():
        for own in own_addresses(card):
            if IPv4Interface(own).network.overlaps(subnet):
                yield (
                    f"host {end.host}: its {card.name} has {own}, in the network {subnet} that link {link.name} would "
                    f"get on {end.card.name}; {_another(link)}"
                )


def _apart(link: Link, end: _End, given: Mapping[str, IPv4Interface]) -> Iterator[str]:
    """Hosts that keep their own addresses may have a router between them; nobody routes to a new one."""
    if end.given or not given or IPv4Network(link.subnet) == end.own[0].network:
        return
    other, address = next(iter(given.items()))
    yield (
        f"host {end.host}: link {link.name}: it has {end.own[0]}, and {other} would get {address.ip} of {link.subnet}, "
        f'so they do not reach each other; say subnet = "{end.own[0].network}", or {_its_own(other)}'
    )


def _its_own(host: str) -> str:
    return f"give {host} an address of its own there"


def _another(link: Link) -> str:
    return f"give link {link.name} another subnet"
