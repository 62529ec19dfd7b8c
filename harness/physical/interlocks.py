"""Interlocks: reasons not to use a host, all found before anything on it is changed.

Pure: they follow from the inventory, the survey of the host and what its BMC says. Each reason is one line with the way
out.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence

from harness.drivers.bmc.base import same_machine
from harness.model.owned_host import OwnedHost
from harness.model.sizes import format_size, parse_size
from harness.model.topology import MIB
from harness.physical.survey import HostSurvey

CLOCK_S = 600.0  # more is a wrong clock, and makes times of its logs misleading
RUN_FREE = 4 * MIB
MEASURED = ("bandwidth",)  # expectations that a look at the host does not answer, but `harness qualify`
MEMORY_SHARE = 0.9  # the kernel keeps a part of what is installed


def refusals(
    host: str,
    spec: OwnedHost,
    found: HostSurvey,
    *,
    bmc_uuid: str = "",
    own_machine: str = "",
    in_use: bool = False,
    programs: Sequence[str] = (),
    links: Sequence[str] = (),
    now: float | None = None,
) -> list[str]:
    """Why the host must not be used; empty if it may be.

    `bmc_uuid` is what its power source says, "" if it says nothing; `own_machine` the UUID of this machine. `in_use`:
    people who are logged in do not count. `links` are those under test.
    """
    reasons = [
        *_identity(found, bmc_uuid, own_machine),
        *_scratch(spec, found),
        *(_users(found) if not in_use else ()),
        *_room(found),
        *_clock(found, time.time() if now is None else now),
        *_links(spec, found, links),
        *_programs(found, programs),
        *_expected(spec, found),
    ]
    return [f"host {host}: {reason}" for reason in reasons]


def _identity(found: HostSurvey, bmc_uuid: str, own_machine: str) -> Iterator[str]:
    if own_machine and found.uuid and same_machine(own_machine, found.uuid):
        yield "its address leads to this machine itself; a load would end the harness too"
    if bmc_uuid and found.uuid and not same_machine(bmc_uuid, found.uuid):
        yield (
            f"its BMC belongs to another machine: the BMC says UUID {bmc_uuid}, the host {found.uuid}; "
            "correct the address of its power"
        )


def _scratch(spec: OwnedHost, found: HostSurvey) -> Iterator[str]:
    if not spec.scratch:
        return
    disk = found.disk(spec.scratch)
    if disk is None:
        ids = [name for one in found.disks if not one.uses for name in one.ids[:1]]
        known = ", ".join(f"/dev/disk/by-id/{name}" for name in ids) or "none"
        yield f"it has no disk {spec.scratch}; disks that nothing uses: {known}"
        return
    if disk.uses:
        yield f"its scratch disk {disk.name} is in use: {'; '.join(disk.uses)}; name another, or free it"
    elif disk.partitions:
        yield f"its scratch disk {disk.name} has partitions ({', '.join(disk.partitions)}); wipe it, if that is right"
    serial = spec.scratch_serial
    if serial and disk.serial != serial:
        yield f"its scratch disk has the serial number {disk.serial or 'none'}, and the inventory says {serial}"
    if spec.scratch_size and disk.size != spec.scratch_size:
        yield (
            f"its scratch disk has {format_size(disk.size)}, "
            f"and the inventory says {format_size(spec.scratch_size)}; perhaps it is another disk"
        )


def _users(found: HostSurvey) -> Iterator[str]:
    if found.users:
        yield f"somebody is logged in: {'; '.join(found.users[:3])}; ask them, or add --though-in-use"


def _room(found: HostSurvey) -> Iterator[str]:
    if found.run_free < RUN_FREE:
        yield f"its /run has {found.run_free // 1024} KiB left, which is too little; free some"


def _clock(found: HostSurvey, now: float) -> Iterator[str]:
    away = found.clock - now
    if abs(away) > CLOCK_S:
        side = "ahead of" if away > 0 else "behind"
        yield f"its clock is {abs(away) / 3600:.1f} h {side} this machine's; set it (timedatectl set-ntp true)"


def _links(spec: OwnedHost, found: HostSurvey, links: Sequence[str]) -> Iterator[str]:
    known = {one.name: one for one in found.interfaces}
    for link in links:
        name = spec.links[link]
        if name not in known:
            yield f"link {link} is interface {name} in the inventory; it has: {', '.join(known)}"
        elif known[name].is_management:
            yield f"link {link} is {name}, which carries the SSH connection; use another interface for the load"


def _programs(found: HostSurvey, programs: Sequence[str]) -> Iterator[str]:
    if missing := sorted(set(programs) - set(found.programs)):
        yield f"it lacks programs that this case needs: {', '.join(missing)}; install them"


def _expected(spec: OwnedHost, found: HostSurvey) -> Iterator[str]:
    for key, wanted in spec.expect.items():
        if key in MEASURED:
            continue
        seen = _seen(key, found)
        if key == "memory":
            if _memory_differs(wanted, found.memory):
                yield f"it has {format_size(found.memory // MIB * MIB)} of memory, and the inventory expects {wanted}"
        elif not any(re.search(rf"(?<!\w){re.escape(wanted)}(?!\w)", text) for text in seen):
            shown = ", ".join(filter(None, seen)) or "nothing"
            yield f"its {key} is {shown}, and the inventory expects {wanted}"


def _memory_differs(wanted: str, memory: int) -> bool:
    try:
        size = parse_size(wanted)
    except ValueError:
        return True
    return not MEMORY_SHARE * size <= memory <= size


def _seen(key: str, found: HostSurvey) -> list[str]:
    """What a host shows for a key of `expect`."""
    hcas, cards = found.rdma.hcas, found.interfaces
    return {
        "cpus": [str(found.cpus)],
        "kernel": [found.kernel],
        "model": [found.model],
        "driver": [*(one.driver for one in hcas), *(one.driver for one in cards)],
        "rate": [*(port.rate for one in hcas for port in one.ports), *(one.speed for one in cards)],
        "firmware": [*(one.firmware for one in hcas), *(one.firmware for one in cards)],
    }.get(key, [])
