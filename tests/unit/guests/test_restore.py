"""Guests from snapshots: what happens when one cannot be restored, and what a snapshot's own guest is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.artifacts.cache import Cache
from harness.drivers.libvirt.guest import Disk
from harness.drivers.libvirt.save_image import DamagedImage
from harness.guests import restore, snapshots
from harness.guests.guest_spec import Ground, Parts
from harness.guests.identity import identity_of
from harness.guests.keys import Keys
from harness.guests.restore import NotRestored, Templates
from harness.model.clock import Deadline
from harness.model.errors import BootError, HostEnvironmentError, InfraError
from harness.model.settings import Settings
from harness.model.topology import MIB, Host, Topology

HOST = Host(name="a", memory=256 * MIB)


class Steps:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def step(self, what: str, done: float | None = None) -> None:
        self.lines.append(what)


class FakeGuest:
    """A guest that does what the test says when it is restored."""

    def __init__(self, act: Callable[[Path], None]) -> None:
        self.act = act
        self.closed = False
        self.printed = b""
        self.spec = SimpleNamespace()

    def on_console(self, data: bytes) -> None:
        self.printed += data

    def restore(self, image: Path, deadline: Deadline) -> None:
        self.act(image)

    def close(self) -> None:
        self.closed = True


class Bench:
    """Templates whose snapshots are made of nothing."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        settings = Settings(state=tmp_path, cache=tmp_path / "cache", results=tmp_path)
        run: Any = SimpleNamespace(path=tmp_path / "run")
        run.path.mkdir()
        connection = SimpleNamespace(getLibVersion=lambda: 9000000)
        keys = Keys(client_file=tmp_path / "key", client_public="ssh-ed25519 AAAA")
        self.ground = Ground(settings=settings, run=run, connection=connection, sockets={}, keys=keys)
        self.steps = Steps()
        self.templates = Templates(self.ground, self.steps, 10.0)
        self.booted = 0
        self.guests: list[FakeGuest] = []
        digests = {name: SimpleNamespace(digest=name) for name in ("image", "kernel")}
        machine: Any = SimpleNamespace(**digests, modules={}, own_modules={}, accelerator="tcg")
        topology = Topology(name="one", hosts=(HOST,))
        self.parts = Parts(
            host=HOST,
            machine=machine,
            identity=identity_of(topology, HOST, "key"),
            disks=(
                Disk(name="root", path=run.path / "a.qcow2", target="vda"),
                Disk(name="modules", path=tmp_path / "modules", target="vdb", format="raw", readonly=True),
                Disk(name="scratch", path=run.path / "a.scratch", target="vdc", format="raw"),
            ),
            segments=("lan",),
            label="a",
        )
        (run.path / "a.scratch").write_bytes(b"x" * 10)
        monkeypatch.setattr(Templates, "_save", self._save)
        monkeypatch.setattr(restore, "make_overlay", lambda base, overlay, size: overlay.touch())
        monkeypatch.setattr(restore, "adapt", lambda xml, spec: xml)

    def _save(self, parts: Parts, folder: Path) -> None:
        self.booted += 1
        (folder / snapshots.IMAGE).write_bytes(b"LibvirtQemudSave" + bytes([2, 0, 0, 0, 4]) + bytes(71) + b"<a>\0QEVM")
        (folder / snapshots.DISK).write_bytes(b"disk")
        (folder / snapshots.CONSOLE).write_bytes(b"Linux version 6\n")
        snapshots.write_facts(folder)

    def start(self, act: Callable[[Path], None]) -> FakeGuest:
        def make(parts: Parts) -> Any:
            assert parts.is_restored
            self.guests.append(FakeGuest(act))
            return self.guests[-1]

        guest: Any = self.templates.restore(self.parts, make)
        assert isinstance(guest, FakeGuest)
        return guest

    @property
    def entries(self) -> list[Path]:
        return list(Cache(self.ground.settings.cache).entries())


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


def read(pipe: Path) -> None:
    assert pipe.read_bytes().endswith(b"<a>\0QEVM")


def test_booted_once_and_restored_ever_after(bench: Bench) -> None:
    guests = [bench.start(read) for _ in range(3)]
    assert bench.booted == 1 and not any(guest.closed for guest in guests)
    assert guests[2].printed == b"Linux version 6\n", "its console begins with what was printed before"
    assert bench.steps.lines[0] == "a: booting once, to be saved"
    assert [line[:22] for line in bench.steps.lines[1:]] == ["a: restored as it was "] * 3


def test_a_guest_that_does_not_answer_takes_its_snapshot_with_it(bench: Bench) -> None:
    def fail(pipe: Path) -> None:
        raise BootError(host="a", problem="its agent does not take its identity")

    with pytest.raises(NotRestored, match="does not take its identity"):
        bench.start(fail)
    assert bench.guests[0].closed and not bench.parts.disks[0].path.exists() and bench.entries == []
    bench.start(read)
    assert bench.booted == 2


def test_a_damaged_image_is_named_whatever_libvirt_made_of_it(bench: Bench) -> None:
    bench.start(read)
    image = bench.entries[0] / snapshots.IMAGE
    image.write_bytes(image.read_bytes()[:-1] + b"X")

    def refuse(pipe: Path) -> None:
        pipe.read_bytes()
        raise BootError(host="a", problem="libvirt cannot restore it: end of file")

    with pytest.raises(NotRestored, match="contents changed after it was saved"):
        bench.start(refuse)
    assert bench.entries == []


def test_a_damaged_disk_is_seen_before_anything_starts(bench: Bench) -> None:
    bench.start(read)
    (bench.entries[0] / snapshots.DISK).write_bytes(b"dusk")
    with pytest.raises(NotRestored, match="contents changed after it was saved"):
        bench.start(lambda pipe: pytest.fail("it was started"))
    assert bench.entries == []


def test_an_image_whose_head_is_no_head(bench: Bench) -> None:
    bench.start(read)
    image = bench.entries[0] / snapshots.IMAGE
    image.write_bytes(bytes(image.stat().st_size))
    with pytest.raises(NotRestored, match="no whole image"):
        bench.start(lambda pipe: pytest.fail("it was started"))
    assert bench.guests[-1].closed, "or the guest that is booted in its place could not have its sockets"


def test_a_port_that_is_taken_is_not_the_fault_of_the_snapshot(bench: Bench) -> None:
    bench.start(read)

    def fail(pipe: Path) -> None:
        raise HostEnvironmentError("port 2222 is taken")

    with pytest.raises(NotRestored, match="port 2222"):
        bench.start(fail)
    assert len(bench.entries) == 1


def test_a_snapshot_that_cannot_be_made(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Templates, parts: Parts, folder: Path) -> None:
        raise InfraError("a: state blocked by a device")

    monkeypatch.setattr(Templates, "_save", fail)
    with pytest.raises(NotRestored, match="state blocked by a device"):
        bench.start(read)
    assert bench.entries == []


def test_nobody_wants_it_any_more(bench: Bench) -> None:
    def fail(pipe: Path) -> None:
        bench.ground.given_up.set()
        raise DamagedImage("cut short")

    with pytest.raises(DamagedImage):
        bench.start(fail)


def test_the_disks_of_the_guest_that_is_saved_are_its_own(bench: Bench, tmp_path: Path) -> None:
    disks = bench.templates._template_disks(bench.parts, tmp_path, "t-a")
    assert [disk.path for disk in disks] == [
        tmp_path / snapshots.DISK,
        bench.parts.disks[1].path,
        bench.ground.run.path / "t-a.vdc",
    ]
    assert disks[2].path.read_bytes() == bytes(10), "as large as the other, and blank"
    assert [replace(disk, path=Path()) for disk in disks] == [replace(disk, path=Path()) for disk in bench.parts.disks]
