"""The target contract, kept by real guests."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from live_site import live_site
from live_trials import ROOT
from target_contract import BringUp, TargetContract

from harness.model.options import resolve
from harness.model.topology import MIB, Host, Link, SharedDisk, Topology

NAMES = ("one", "two")


def pair() -> Topology:
    """Two guests on one segment, with a scratch disk each and one that they share."""
    hosts = tuple(Host(name=name, memory=192 * MIB, cpus=2, scratch=64 * MIB) for name in NAMES)
    topology = Topology(name="contract", hosts=hosts, links=(Link(name="cluster", hosts=NAMES),))
    return replace(topology, shared_disk=SharedDisk(hosts=NAMES, size=32 * MIB))


class TestGuest(TargetContract):
    """Guests of libvirt's embedded driver, or of what the environment names."""

    @pytest.fixture(scope="class")
    @classmethod
    def bring_up(cls, state: Path, tmp_path_factory: pytest.TempPathFactory) -> BringUp:
        folder = tmp_path_factory.mktemp("contract")
        given = {"state": str(state), "results": str(folder / "results")}
        settings = resolve(given, flag="--", environ=os.environ, ini={}, cwd=ROOT, root=ROOT).settings
        return lambda: live_site(settings, pair(), folder)
