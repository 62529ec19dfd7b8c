"""The target contract, kept by real guests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from live_trials import ROOT
from target_contract import BringUp, TargetContract

from harness.guests.boot_spec import machines_for
from harness.guests.guest_spec import Deaf
from harness.guests.lab import Lab
from harness.model.observe import Silent
from harness.model.options import resolve
from harness.model.settings import Settings
from harness.model.topology import MIB, Host, Link, SharedDisk, Topology
from harness.site.target import Site

NAMES = ("one", "two")


def pair() -> Topology:
    """Two guests on one segment, with a scratch disk each and one that they share."""
    hosts = tuple(Host(name=name, memory=192 * MIB, cpus=2, scratch=64 * MIB) for name in NAMES)
    topology = Topology(name="contract", hosts=hosts, links=(Link(name="cluster", hosts=NAMES),))
    return replace(topology, shared_disk=SharedDisk(hosts=NAMES, size=32 * MIB))


@contextmanager
def guests(settings: Settings, folder: Path) -> Iterator[Site]:
    """The guests, up for the body."""
    topology = pair()
    machines = machines_for(settings, topology.hosts, Silent())
    lab = Lab(settings, machines, listener=Deaf(), console_path=lambda name: folder / f"{name}.console")
    try:
        yield lab.start(topology)
    finally:
        lab.close()


class TestGuest(TargetContract):
    """Guests of libvirt's embedded driver, or of what the environment names."""

    @pytest.fixture(scope="class")
    @classmethod
    def bring_up(cls, state: Path, tmp_path_factory: pytest.TempPathFactory) -> BringUp:
        folder = tmp_path_factory.mktemp("contract")
        given = {"state": str(state), "results": str(folder / "results")}
        settings = resolve(given, flag="--", environ=os.environ, ini={}, cwd=ROOT, root=ROOT).settings
        return lambda: guests(settings, folder)
