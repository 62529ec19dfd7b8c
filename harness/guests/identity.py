"""The identity of a guest: name, addresses, MACs, keys, machine id, time and entropy, given to its agent once it runs.

Booted and restored guests get it in the same way, so that nothing can tell them apart.
"""

from __future__ import annotations

import ipaddress
import json
import secrets
import time
from dataclasses import dataclass, field, replace
from typing import Any

from harness.drivers.protocols import AgentLink
from harness.guests.keys import make_key
from harness.model.clock import Deadline
from harness.model.topology import Host, Topology
from harness.site.addressing import SEED, address_of, peers
from harness.site.facts import MANAGEMENT

MAC = "52:54:00:68:{card:02x}:{number:02x}"  # of QEMU's range
TEMPLATE_NUMBER = 0xFF  # above the number of any host of a topology
MANAGEMENT_ADDRESS = "10.0.2.15/24"  # the address to which QEMU's user-mode network forwards
MANAGEMENT_NETWORK = ipaddress.IPv4Interface(MANAGEMENT_ADDRESS).network
ENTROPY = 64  # bytes; the kernel takes 32 (drivers/char/random.c)


@dataclass(frozen=True, slots=True)
class Card:
    """One network card of a guest."""

    name: str
    link: str
    address: str


def cards_of(topology: Topology, host: Host) -> list[Card]:
    """The cards of a guest: management first, then one a segment, in the order of the topology."""
    cards = [Card("eth0", MANAGEMENT, MANAGEMENT_ADDRESS)]
    for segment in topology.links:
        if host.name in segment.hosts:
            prefix = ipaddress.ip_network(segment.subnet).prefixlen
            address = f"{address_of(topology, segment.name, host.name)}/{prefix}"
            cards.append(Card(f"eth{len(cards)}", segment.name, address))
    return cards


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """One guest's own: `number` is in its MACs, `host_key` is private and public, `hosts` are lines of /etc/hosts."""

    name: str
    number: int
    cards: tuple[Card, ...]
    client_key: str
    hosts: str = ""
    peers: tuple[str, ...] = ()
    host_key: tuple[bytes, str] = field(default_factory=make_key)

    def all_macs(self, cards: int) -> list[str]:
        """The MACs of its first `cards` network cards."""
        return [MAC.format(card=card, number=self.number) for card in range(cards)]

    def order(self) -> dict[str, Any]:
        """The arguments of the order `become`, with the present time."""
        files = {
            "/etc/hosts": (f"127.0.0.1 localhost\n{self.hosts}", 0o644),
            "/etc/machine-id": (f"{secrets.token_hex(16)}\n", 0o444),
            f"{SEED}/ssh_host_ed25519_key": (self.host_key[0].decode(), 0o600),
            f"{SEED}/authorized_keys": (f"{self.client_key}\n", 0o600),
        }
        macs = self.all_macs(len(self.cards))
        return {
            "hostname": self.name,
            "files": files,
            "cards": [(card.name, mac, card.address) for card, mac in zip(self.cards, macs, strict=True)],
            "peers": list(self.peers),
            "entropy": secrets.token_hex(ENTROPY),
            "time": time.time(),
        }

    def give(self, agent: AgentLink, deadline: Deadline) -> dict[str, Any]:
        """Have the agent take it; returns the agent's facts of its host."""
        facts: dict[str, Any] = json.loads(agent.ask("become", deadline=deadline, **self.order()))
        return facts


def identity_of(topology: Topology, host: Host, client_key: str) -> Identity:
    """The identity of a host of a topology."""
    number = topology.hosts.index(host)
    names = "".join(
        f"{address_of(topology, segment.name, other)} {other} {other}.{segment.name}\n"
        for segment in topology.links
        for other in segment.hosts
    )
    return Identity(
        name=host.name,
        number=number,
        cards=tuple(cards_of(topology, host)),
        client_key=client_key,
        hosts=names,
        peers=tuple(peers(topology, host)),
    )


def nobody(identity: Identity) -> Identity:
    """The same without an address: a card that is up announces its MAC as soon as a guest is restored."""
    return replace(identity, cards=tuple(replace(card, address="") for card in identity.cards))


def template_of(identity: Identity) -> Identity:
    """The identity of a guest before it is saved: reached over its management card, without the other addresses."""
    return replace(
        identity,
        name="template",
        number=TEMPLATE_NUMBER,
        cards=identity.cards[:1],
        hosts="",
        peers=(),
        host_key=make_key(),
    )
