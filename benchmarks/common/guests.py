"""Guests for a benchmark, brought up as those of trials are; what dead runs left is removed first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.common.command import ROOT
from harness.model.clock import SYSTEM_CLOCK
from harness.model.observe import Progress, Silent
from harness.model.settings import Settings
from harness.model.topology import Topology
from harness.providers import clean, provider_of, read_inventory
from harness.site.provider import HostNeeds, Listener
from harness.site.target import Site

INVENTORY = ROOT / "inventories" / "local.toml"
TOPOLOGY = "single"


def read_topology(inventory: Path = INVENTORY) -> Topology:
    """The topology on which everything is measured: one host."""
    return read_inventory(inventory).topology(TOPOLOGY)


@contextmanager
def booted(
    settings: Settings, topology: Topology, listener: Listener, folder: Path, progress: Progress
) -> Iterator[tuple[Site, float]]:
    """The live site, and the seconds from the start of the guests until each of them answered over SSH.

    Trials that run at the same time wait.
    """
    begun: list[float] = []
    clean(settings)
    provider = provider_of(settings, topology)
    provided = provider.provide(
        topology,
        provider.prepare(topology, HostNeeds(), progress),
        purpose="a benchmark",
        listener=listener,
        console_path=lambda name: folder / f"{name}.console",
        notes=Silent(),
        on_wait=progress.step,
        on_begin=lambda: begun.append(SYSTEM_CLOCK.monotonic()),
    )
    with provided as site:
        yield site, SYSTEM_CLOCK.monotonic() - begun[0]
