"""What a new inventory could say of a host, from its survey alone; its owner decides.

Pure. All of it is the host's word: the texts are printable, and nothing else is known of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.fabric.hca import HcaPort
from harness.inventory.owned_schema import BY_ID
from harness.model.errors import UsageError
from harness.model.sizes import format_size
from harness.model.topology import GIB, MIB
from harness.physical.interlocks import MEMORY_SHARE
from harness.physical.survey import HostSurvey, SurveyedDisk, SurveyedInterface

INFINIBAND = "32"  # include/uapi/linux/if_arp.h: ARPHRD_INFINIBAND
FABRIC = "fabric"
LONGEST_NAME = 21
# Numbers that a controller gives: right, but they tell their owner nothing.
_NUMERIC_IDS = ("wwn-", "nvme-eui.", "nvme-nvme.", "scsi-3")


@dataclass(frozen=True, slots=True, kw_only=True)
class FreeDisk:
    """A disk that nothing uses; `path` is its stable name, `size` in bytes, `signature` what is on it, or ""."""

    name: str
    path: str
    ids: tuple[str, ...]
    serial: str
    size: int
    signature: str

    def __str__(self) -> str:
        """One line for its owner."""
        serial = f"serial number {self.serial}" if self.serial else "no serial number"
        content = f"{self.signature} on it" if self.signature else "no signature on it"
        return f"{self.name}: {format_size(self.size)}, {serial}, {content}, {self.path}"

    def keys(self) -> dict[str, object]:
        """The keys of the inventory that name it. A size is only kept if it is whole MiB, as sizes there are."""
        found: dict[str, object] = {"scratch": self.path}
        if self.serial:
            found["scratch_serial"] = self.serial
        if self.size % MIB == 0:
            whole = self.size % GIB == 0
            found["scratch_size"] = f"{self.size // GIB} GiB" if whole else f"{self.size // MIB} MiB"
        return found


def host_name(found: HostSurvey) -> str:
    """A name for the inventory, from the host's own."""
    words = re.sub(r"[^a-z0-9]+", "-", found.hostname.partition(".")[0].lower()).strip("-")
    named = words if re.match(r"[a-z]", words) else f"host-{words}".strip("-")
    return named[:LONGEST_NAME].rstrip("-")


def free_disks(found: HostSurvey) -> list[FreeDisk]:
    """The disks without partitions that nothing uses and that have a stable name."""
    return [_free(disk) for disk in found.disks if disk.ids and not disk.uses and not disk.partitions]


def _free(disk: SurveyedDisk) -> FreeDisk:
    best = min(disk.ids, key=lambda name: (name.startswith(_NUMERIC_IDS), name))
    return FreeDisk(
        name=disk.name,
        path=BY_ID + best,
        ids=disk.ids,
        serial=disk.serial,
        size=disk.size,
        signature=disk.signature,
    )


def chosen_disk(name: str, found: HostSurvey) -> FreeDisk:
    """The free disk of that name, stable name or path; raises UsageError that says why it is none."""
    last = name.rpartition("/")[2]
    free = free_disks(found)
    for one in free:
        if last == one.name or last in one.ids:
            return one
    known = ", ".join(one.name for one in free) or "none"
    other = next((disk for disk in found.disks if last == disk.name or last in disk.ids), None)
    raise UsageError(f"scratch {name}: {_why_not(other)}; disks that nothing uses: {known}")


def _why_not(disk: SurveyedDisk | None) -> str:
    if disk is None:
        return "the host has no such disk"
    if disk.uses:
        return f"it is in use: {'; '.join(disk.uses)}"
    return f"it has partitions ({', '.join(disk.partitions)})" if disk.partitions else "it has no stable name"


def link_cards(found: HostSurvey) -> list[SurveyedInterface]:
    """The cards that could be a link: those with a driver that do not carry SSH; none if it is not known which does."""
    if not any(card.is_management for card in found.interfaces):
        return []
    return [
        card
        for card in found.interfaces
        if not card.is_management and card.name != "lo" and (card.driver or card.type == INFINIBAND)
    ]


def link_names(cards: list[SurveyedInterface]) -> dict[str, str]:
    """A name for each card of a fabric, by link; other cards may lead anywhere, so only their owner names them."""
    fabric = [card.name for card in cards if card.type == INFINIBAND]
    return {FABRIC if number == 1 else f"{FABRIC}-{number}": name for number, name in enumerate(fabric, 1)}


def check_link(interface: str, found: HostSurvey) -> None:
    """Raises UsageError unless the host has such an interface, and SSH does not come over it."""
    known = {card.name: card for card in found.interfaces}
    if interface not in known:
        raise UsageError(f"link: the host has no interface {interface}; it has: {', '.join(known)}")
    if known[interface].is_management:
        raise UsageError(f"link: {interface} carries the SSH connection; use another interface for the load")


def expectations(found: HostSurvey) -> dict[str, str]:
    """`expect`: its memory, and what its first active InfiniBand port, else its first, says of itself."""
    expected = {"memory": installed_memory(int(found.memory))}
    if ports := [(port, hca) for hca in found.rdma.hcas for port in hca.ports]:
        port, hca = min(ports, key=lambda one: not _is_active(one[0]))
        rate = port.rate if _is_active(port) else ""  # a port that is down shows a lower one
        expected |= {"driver": hca.driver, "rate": rate, "firmware": hca.firmware}
    return {key: text for key, text in expected.items() if text}


def _is_active(port: HcaPort) -> bool:
    return port.state == "ACTIVE"


def installed_memory(seen: int) -> str:
    """The roundest size of memory of which a kernel would show `seen` bytes: it keeps a part of what is installed."""
    step = 1024 * GIB
    while step > MIB:
        size = -(-seen // step) * step
        if seen >= MEMORY_SHARE * size:
            break
        step //= 2
    size = -(-seen // step) * step
    return f"{size // GIB} GiB" if size % GIB == 0 else f"{size // MIB} MiB"
