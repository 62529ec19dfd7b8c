"""Parts of a guest, and the resources of a run that its guests share."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.drivers.libvirt.guest import Disk
from harness.guests.boot_spec import Machine
from harness.guests.identity import Identity
from harness.guests.keys import Keys
from harness.model.settings import Settings
from harness.model.topology import Host
from harness.state.state import RunDir, StateDir

# norandmaps: QEMU's translations depend on virtual addresses. A library that each program maps somewhere else is
# translated anew each time. Later, each write to one of its reused pages searches all of these translations.
CMDLINE = (
    "console=ttyS0,115200 ignore_loglevel sysrq_always_enabled panic=0 nokaslr norandmaps audit=0 "
    "random.trust_cpu=on net.ifnames=0"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Resources that guests of a run share: its folder, a libvirt connection, and sockets of the segments by name."""

    settings: Settings
    run: RunDir
    connection: Any
    sockets: dict[str, Path]
    keys: Keys
    given_up: threading.Event = field(default_factory=threading.Event)

    @property
    def state(self) -> StateDir:
        """The state folder."""
        return StateDir(self.settings.state)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of one guest: `segments` names the segments of its cards, `label` its files in the run."""

    host: Host
    machine: Machine
    identity: Identity
    disks: tuple[Disk, ...]
    segments: tuple[str, ...]
    label: str
    is_restored: bool = False


def cmdline_of(host: Host) -> str:
    """The kernel's command line of a host."""
    return f"{CMDLINE} {host.cmdline}".strip()
