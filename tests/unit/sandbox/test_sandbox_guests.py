"""Guests with storage between them, and a single command on them, where the guests are fakes."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from fakes import make_topology
from sandbox.sandbox_supervisor import FakeLab

import harness.sandbox.guests as module
from harness.guests.lease import leases
from harness.guests.provider import PreparedGuests
from harness.model.errors import InfraError
from harness.model.settings import Settings
from harness.model.storage_protocols import StorageProtocol
from harness.model.topology import MIB, Topology
from harness.sandbox.guests import SandboxRequest, guests
from harness.sandbox.once import run_once
from harness.site.provider import Deaf
from harness.site.target import Site
from harness.state.state import StateDir
from harness.storage.base import ServedBy, StorageProbe


@dataclass
class FakeStorage:
    """Notes what is done with it; what `failing` names raises, what `hanging` names does not come back."""

    failing: str = ""
    hanging: str = ""
    done: list[str] = field(default_factory=list)
    critical_tasks: tuple[str, ...] = ()
    bound_s: float = 0.0

    def _do(self, what: str) -> None:
        self.done.append(what)
        if what == self.failing:
            raise InfraError(f"no {what}")
        if what == self.hanging:
            threading.Event().wait()

    def describe(self) -> str:
        return "a fake disk"

    @property
    def protocol(self) -> StorageProtocol | None:
        return None

    def served_by(self, topology: Topology) -> ServedBy:
        return {}

    def set_up(self, site: Site) -> StorageProbe:
        self._do("set-up")
        return StorageProbe(host="c1", spec={})

    def baseline(self, site: Site) -> float:
        self._do("baseline")
        return 250.0

    def tear_down(self, site: Site) -> None:
        self._do("tear-down")


@pytest.fixture
def wanted(monkeypatch: pytest.MonkeyPatch) -> Iterator[SandboxRequest]:
    folder = Path(tempfile.mkdtemp(prefix="hc-", dir="/tmp"))
    monkeypatch.setattr("harness.guests.provider.Lab", FakeLab)
    topology = make_topology()
    topology = replace(topology, hosts=tuple(replace(host, memory=32 * MIB) for host in topology.hosts))
    settings = Settings(state=folder, cache=folder / "cache", results=folder / "results")
    yield SandboxRequest(topology=topology, prepared=PreparedGuests({}), settings=settings)
    shutil.rmtree(folder)


def hold(wanted: SandboxRequest, storage: FakeStorage) -> list[str]:
    """The notes of a sandbox that comes and goes."""
    notes: list[str] = []
    folder = wanted.settings.state
    with guests(
        replace(wanted, storage=storage),
        listener=Deaf(),
        console_path=lambda host: folder / host,
        note=notes.append,
    ) as site:
        notes.append(f"{len(site.targets)} hosts, {len(leases(StateDir(folder)))} lease")
    return notes


def test_storage_comes_up_after_the_hosts_and_goes_before_them(wanted: SandboxRequest) -> None:
    storage = FakeStorage()
    assert hold(wanted, storage) == [
        "booting c1, s1",
        "setting up: a fake disk",
        "storage is up, 250 pages of 4 KiB a second",
        "2 hosts, 1 lease",
        "storage taken down",
        "ended c1, s1",
    ]
    assert storage.done == ["set-up", "baseline", "tear-down"]
    assert not leases(StateDir(wanted.settings.state))


@pytest.mark.parametrize("step", ["set-up", "baseline"])
def test_storage_that_does_not_come_up_is_taken_down_as_far_as_it_came(wanted: SandboxRequest, step: str) -> None:
    storage = FakeStorage(failing=step)
    with pytest.raises(InfraError, match=f"no {step}"):
        hold(wanted, storage)
    assert storage.done[-1] == "tear-down"
    assert not leases(StateDir(wanted.settings.state))


def test_storage_that_cannot_be_taken_down_keeps_nobody(
    wanted: SandboxRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hold(wanted, FakeStorage(failing="tear-down"))[-2:] == [
        "storage was not taken down: no tear-down",
        "ended c1, s1",
    ]
    monkeypatch.setattr(module, "TEAR_DOWN_S", 0.05)
    notes = hold(wanted, FakeStorage(hanging="tear-down"))
    assert notes[-2].startswith("storage was not taken down: it does not answer within")
    assert notes[-1] == "ended c1, s1"


@pytest.mark.parametrize(("script", "status"), [("exit 7", 7), ("kill -TERM $$", 143)])
def test_a_command_goes_to_the_first_host_and_its_end_is_ours(
    wanted: SandboxRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    script: str,
    status: int,
) -> None:
    program = tmp_path / "ssh"
    program.write_text(f'#!/bin/sh\necho "$3|$4|$5"; grep -c Host $2; {script}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    notes: list[Any] = []
    assert run_once(wanted, "uname -r | cat", notes.append) == status
    assert capfd.readouterr().out.splitlines()[0] == "c1|--|uname -r | cat"
    assert notes == ["booting c1, s1", "ended c1, s1"]
