"""A look at an owned host: its survey, its BMC, and what speaks against using it. Changes nothing."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from harness.drivers.bmc import PowerDriver, power_of
from harness.drivers.bmc.base import ASK_S, same_machine
from harness.drivers.consoles import open_console
from harness.drivers.ssh import FabricShell
from harness.fabric.known_bad import suspects
from harness.model.clock import Deadline
from harness.model.errors import HarnessError, ShellError
from harness.model.sizes import format_size
from harness.model.topology import MIB, Host
from harness.physical import channels, reservation
from harness.physical.boot_facts import read_boot_facts
from harness.physical.interlocks import refusals
from harness.physical.kexec_refusal import refusal
from harness.physical.offers import DEAF_CONSOLES, owned
from harness.physical.session import missing_modules
from harness.physical.survey import HostSurvey, survey

SURVEY_S = 120.0
POSSIBLE = "possible"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What was found of one host; `survey` is None if it does not answer. `against` has a line for each objection.

    `no_modules` are those that were asked for and that the kernel which runs there lacks.
    """

    name: str
    survey: HostSurvey | None
    reserved: str
    power: str
    console: str
    kexec: str
    against: tuple[str, ...]
    no_modules: tuple[str, ...] = ()

    @property
    def is_usable(self) -> bool:
        """Whether nothing speaks against using it."""
        return not self.against

    def to_dict(self) -> dict[str, Any]:
        """The inspection as JSON has it."""
        found = self.survey
        return {
            "name": self.name,
            "survey": found.to_dict() if found is not None else None,
            "reserved": self.reserved,
            "power": self.power,
            "console": self.console,
            "kexec": self.kexec,
            "known_bad": [one.to_dict() for one in suspects(found.rdma, found.kernel)] if found is not None else [],
            "against": list(self.against),
        }

    def lines(self) -> Iterator[tuple[str, str]]:
        """Headings and values for people."""
        if (found := self.survey) is not None:
            yield "kernel", f"{found.kernel}, up for {found.uptime_s / 3600:.1f} h"
            yield "machine", f"{found.model or 'unknown'}, UUID {found.uuid or 'unknown'}"
            memory = format_size(found.memory // MIB * MIB)
            yield "memory", f"{memory}, {format_size(found.memory_available // MIB * MIB)} available"
            yield "processors", f"{found.cpus}, {found.processor}"
            for disk in found.disks:
                use = "; ".join(disk.uses) or "nothing uses it"
                ids = ", ".join(f"/dev/disk/by-id/{name}" for name in disk.ids[:1]) or "no stable name"
                yield f"disk {disk.name}", f"{format_size(disk.size // MIB * MIB)}, {use}, {ids}"
            for card in found.interfaces:
                addresses = ", ".join(card.addresses) or "no address"
                here = ", SSH comes over it" if card.is_management else ""
                yield f"card {card.name}", f"{card.driver or 'no driver'}, {addresses}{here}"
            yield from _rdma(found)
            yield "clock", f"{found.clock - time.time():+.1f} s against this machine's"
            yield "logged in", "; ".join(found.users) or "nobody"
            yield "watchdog", ", ".join(found.watchdogs) or "none"
        yield "reservation", self.reserved
        yield "power", self.power
        yield "console", self.console
        yield "kexec", self.kexec
        for line in self.against or ("nothing",):
            yield "against its use", line


def _rdma(found: HostSurvey) -> Iterator[tuple[str, str]]:
    """Adapters, their ports and IPoIB interfaces, and what is known of them."""
    for hca in found.rdma.hcas:
        slow = f", and could be x{hca.max_link_width} at {hca.max_link_speed}" if hca.is_pci_slow else ""
        bus = f", PCI x{hca.link_width} at {hca.link_speed}{slow}" if hca.link_width else ""
        kind = " ".join(text for text in (hca.protocol, hca.driver, hca.type, hca.board) if text)
        yield f"adapter {hca.name}", f"{kind}, firmware {hca.firmware or 'unknown'}{bus}"
        for port in hca.ports:
            lids = f", LID {port.lid}, subnet manager at {port.sm_lid}" if port.sm_lid else ""
            if hca.protocol == "InfiniBand" and not port.sm_lid:
                lids = ", no subnet manager has seen it"
            yield f"port {hca.name}/{port.number}", f"{port.state}, {port.phys_state}, {port.rate}{lids}"
    for one in found.rdma.interfaces:
        yield f"IPoIB {one.name}", f"{one.mode or 'no mode'}, MTU {one.mtu}, {one.device}/{one.port}"
    if found.rdma.hcas:
        yield "RDMA drivers", found.rdma.stack
    for suspect in suspects(found.rdma, found.kernel):
        yield "known bad", str(suspect)


def inspect_all(
    hosts: Iterable[Host], *, in_use: bool, programs: Sequence[str] = (), modules: Sequence[str] = ()
) -> list[Inspection]:
    """Inspect hosts, all at the same time, and look which of `programs` and `modules` they have."""
    found = list(hosts)
    with ThreadPoolExecutor(max(1, len(found))) as pool:
        return list(pool.map(lambda host: _inspect(host, in_use, programs, modules), found))


def _inspect(host: Host, in_use: bool, programs: Sequence[str], modules: Sequence[str]) -> Inspection:
    spec = owned(host)
    power, uuid, against = _power(host)
    if not spec.disposable:
        against.append(f"host {host.name}: the inventory does not call it disposable")
    shell = FabricShell(channels.address_of(host.name, spec))
    found, reserved, console, kexec = None, "unknown", "not tried", "unknown"
    no_modules: list[str] = []
    try:
        holding = reservation.look(shell, Deadline.after(ASK_S))
        reserved = str(holding)
        if not holding.is_free:
            against.append(f"host {host.name} is reserved by {holding}")
        else:
            console, silent = _console(host)
            against += silent
        found = survey(shell, host.name, programs=programs, deadline=Deadline.after(SURVEY_S))
        no_modules = missing_modules(shell, modules, Deadline.after(SURVEY_S))
        kexec = refusal(read_boot_facts(shell, deadline=Deadline.after(SURVEY_S))) or POSSIBLE
        against += refusals(host.name, spec, found, bmc_uuid=uuid, in_use=in_use)
        if uuid and found.uuid and same_machine(uuid, found.uuid):
            power += ", and its UUID is the host's"
    except ShellError as error:  # the commands are long, and the problem comes after them
        against.append(f"host {host.name}: {error.problem}")
    except HarnessError as error:
        against.append(str(error).splitlines()[0])
    finally:
        shell.close()
    return Inspection(
        name=host.name,
        survey=found,
        reserved=reserved,
        power=power,
        console=console,
        kexec=kexec,
        against=tuple(against),
        no_modules=tuple(no_modules),
    )


def _power(host: Host) -> tuple[str, str, list[str]]:
    """What its power source says: in words, the UUID of its host, and why it cannot be used."""
    spec = owned(host).power
    if spec is None:
        return "none in the inventory", "", []
    source: PowerDriver = power_of(spec, host.name)
    try:
        state = source.ask(Deadline.after(ASK_S))
        return f"{source.source} says {state}", source.identity(deadline=Deadline.after(ASK_S)), []
    except HarnessError as error:
        return "no answer", "", [str(error).splitlines()[0]]


def _console(host: Host) -> tuple[str, list[str]]:
    """Whether its console can be opened, in words, and why not. Whose it is only a nonce of a run can prove."""
    spec = owned(host)
    driver = spec.console.driver
    if driver in DEAF_CONSOLES:
        return {"none": "none in the inventory"}.get(driver, f"{driver}, which this machine only listens to"), []
    try:
        open_console(spec.console, host.name, spec.power, _discard, deadline=Deadline.after(ASK_S)).close()
    except HarnessError as error:
        return "no answer", [str(error).splitlines()[0]]
    return f"{driver} can be opened", []


def _discard(data: bytes) -> None:
    pass
