"""How the hosts of an inventory stand: who has each, and whether it may be used."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from harness.drivers.ssh import FabricShell
from harness.model.clock import Deadline
from harness.model.errors import HarnessError
from harness.model.settings import Settings
from harness.model.topology import Host
from harness.physical import channels, reservation
from harness.physical.offers import owned
from harness.state.hosts import HostFiles
from harness.state.state import StateDir

ANSWER_S = 45.0  # both machines may be busy
FREE, IN_USE, RESERVED, STALE, QUARANTINE, AWAY = "free", "in use here", "reserved", "stale", "quarantine", "no answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The state of one host, one of the words above, who has it or why it is not used, and the kernel that it runs."""

    name: str
    address: str
    state: str
    detail: str
    kernel: str = ""
    disposable: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The standing as JSON has it."""
        return asdict(self)


def standings(settings: Settings, hosts: Iterable[Host]) -> list[Standing]:
    """How each host stands; all are asked at the same time, and nothing on them is changed."""
    found = list(hosts)
    if not found:
        return []
    with ThreadPoolExecutor(len(found)) as pool:
        return list(pool.map(lambda host: _standing(settings, host), found))


def _standing(settings: Settings, host: Host) -> Standing:
    spec = owned(host)
    files = HostFiles(StateDir.of(settings), host.name, spec.host_key)
    state, detail, kernel = FREE, "", ""
    shell = FabricShell(channels.address_of(host.name, spec))
    try:
        kernel = shell.run("uname -r", deadline=Deadline.after(ANSWER_S)).stdout.strip()
        holding = reservation.look(shell, Deadline.after(ANSWER_S))
        if not holding.is_free:
            state, detail = STALE if holding.is_stale else RESERVED, str(holding)
    except HarnessError as error:
        state, detail = AWAY, str(error).splitlines()[0]
    finally:
        shell.close()
    if holder := files.holder():
        state, detail = IN_USE, holder
    if (quarantine := files.quarantine) is not None:
        state, detail = QUARANTINE, quarantine.reason
    return Standing(
        name=host.name,
        address=spec.address,
        state=state,
        detail=detail,
        kernel=kernel,
        disposable=spec.disposable,
    )
