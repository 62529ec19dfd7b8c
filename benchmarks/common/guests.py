"""Guests for a benchmark: the memory they need is leased, and what dead runs left is removed first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil

from benchmarks.common.command import ROOT
from harness.drivers.libvirt.connection import libvirt_module
from harness.guests.boot_spec import Machine
from harness.guests.lab import Lab, Listener, own_speed
from harness.inventory.inventory import load_inventory
from harness.model.clock import SYSTEM_CLOCK
from harness.model.observe import Progress
from harness.model.settings import Settings
from harness.model.topology import Topology
from harness.site.target import Site
from harness.state.lease import lease_for
from harness.state.state import StateDir
from harness.trial.run import clean

INVENTORY = ROOT / "inventories" / "local.toml"
TOPOLOGY = "single"


class Deaf:
    """A listener that lets everything pass."""

    def on_console(self, host: str, data: bytes) -> None:
        """See `targets.lab.Listener`."""

    def on_record(self, host: str, record: dict[str, Any]) -> None:
        """See `targets.lab.Listener`."""


def read_topology() -> Topology:
    """The topology on which everything is measured: one guest."""
    inventory = load_inventory(INVENTORY, machine_memory=psutil.virtual_memory().total)
    return inventory.topology(TOPOLOGY)


@contextmanager
def leased(settings: Settings, topology: Topology, progress: Progress) -> Iterator[None]:
    """Hold the memory of `topology`, so that trials that run at the same time wait."""
    clean(StateDir.of(settings))
    with lease_for(topology, settings, purpose="a benchmark", on_wait=progress.step):
        yield


@contextmanager
def booted(
    settings: Settings, machines: dict[str, Machine], topology: Topology, listener: Listener, folder: Path
) -> Iterator[tuple[Site, float]]:
    """The live site, and the seconds from the start of the guests until each of them answered over SSH."""
    libvirt_module()  # this and the next are done once a process, and no part of a power-on
    own_speed()
    with ExitStack() as stack:
        lab = Lab(settings, machines, listener=listener, console_path=lambda name: folder / f"{name}.console")
        stack.callback(lab.close)
        begun = SYSTEM_CLOCK.monotonic()
        site = lab.start(topology)
        yield site, SYSTEM_CLOCK.monotonic() - begun
