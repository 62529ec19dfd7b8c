"""Obligations of a run for its guests: processes of QEMU and of switches, and domains of a libvirt daemon."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from uuid import UUID

from harness.drivers.libvirt.connection import connect, libvirt_module
from harness.model.errors import InfraError
from harness.model.obligation import Obligation
from harness.model.settings import EMBEDDED
from harness.state.obligations import meet
from harness.state.processes import PROCESS, end_owed, meet_if_ended, process_owed

PROVIDER = "guests"
DOMAIN = "domain"
QEMU = "qemu-system-x86_64"  # libvirt's embedded driver takes the one in PATH as well
SWITCH = "vde_switch"


def qemu_owed(run: Path, below: str) -> Obligation:
    """A QEMU whose command line names the path `below` in the run's folder."""
    return process_owed(run, PROVIDER, QEMU, below)


def switch_owed(run: Path, below: str) -> Obligation:
    """A switch whose sockets are in the folder `below` of the run's."""
    return process_owed(run, PROVIDER, SWITCH, below)


def guest_owed(run: Path, uri: str, uuid: UUID, below: str) -> tuple[Obligation, ...]:
    """A guest: first its domain, if a daemon at `uri` manages it, then its QEMU, as of `qemu_owed`."""
    process = qemu_owed(run, below)
    if uri == EMBEDDED:
        return (process,)
    domain = Obligation(run=run, provider=PROVIDER, kind=DOMAIN, fields={"uri": uri, "uuid": str(uuid)})
    return domain, process


def meet_guest(owed: Iterable[Obligation], *, is_gone: bool) -> None:
    """Note which obligations of `guest_owed` are met; `is_gone` says whether libvirt no longer has the domain."""
    for obligation in owed:
        if obligation.kind == PROCESS:
            meet_if_ended(obligation)
        elif is_gone:
            meet(obligation)


def meet_owed(obligation: Obligation) -> list[str]:
    """End what a dead run owes for its guests; see `Provider.reap`."""
    if obligation.kind == PROCESS:
        return end_owed(obligation)
    if obligation.kind == DOMAIN:
        return _destroy(obligation)
    raise InfraError(f"nobody here knows how to end a {obligation.kind} of {PROVIDER!r}")


def _destroy(obligation: Obligation) -> list[str]:
    uri, uuid = obligation.fields["uri"], obligation.fields["uuid"]
    libvirt = libvirt_module()
    try:
        connection = connect(uri, obligation.run / "e")
        try:
            found = [domain for domain in connection.listAllDomains() if domain.UUIDString() == uuid]
            for domain in found:
                domain.destroy()
        finally:
            connection.close()
    except libvirt.libvirtError as error:
        raise InfraError(f"domain {uuid} of {uri} does not end: {error}") from error
    return [f"ended domain {uuid} of {uri}" for _ in found]
