"""Guests as a provider brings them up: what of them is said beforehand, and what a dead run owes for them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from owned_runs import kill, python

from harness.drivers.serial.bounded_file import BoundedFile
from harness.guests import owed, provider
from harness.guests.boot_spec import Machine
from harness.guests.guest import Guest
from harness.guests.guest_spec import Ground, Parts
from harness.guests.identity import identity_of
from harness.guests.keys import Keys
from harness.guests.lab import Lab
from harness.guests.lease import leases
from harness.guests.owed import guest_owed, meet_guest, meet_owed, qemu_owed, switch_owed
from harness.guests.provider import GuestProvider, PreparedGuests
from harness.model.clock import Deadline
from harness.model.errors import BootError, HostEnvironmentError, InfraError, UsageError
from harness.model.obligation import Obligation
from harness.model.observe import Silent
from harness.model.settings import EMBEDDED, Settings
from harness.model.topology import MIB, Host, Link, Topology
from harness.providers import clean, provider_of
from harness.site.provider import Deaf, HostNeeds, Provider
from harness.site.target import Site
from harness.state import obligations
from harness.state.obligations import owe
from harness.state.state import StateDir

UUID_1 = UUID(int=1)
ALONE = Topology(name="alone", hosts=(Host(name="a", memory=32 * MIB),))


@pytest.fixture
def settings() -> Iterator[Settings]:
    """Of a state folder whose path is short enough for sockets."""
    folder = Path(tempfile.mkdtemp(prefix="hg-", dir="/tmp"))
    yield Settings(state=folder, cache=folder / "cache", results=folder / "results")
    shutil.rmtree(folder)


def machine(**modules: Path) -> Machine:
    kernel = SimpleNamespace(release="6.1.0-1", name="debian:12", version="6.1.1-1", digest="k1")
    parts: Any = {"image": SimpleNamespace(digest="i1"), "kernel": kernel, "accelerator": "tcg"}
    return Machine(modules={f"kernel/{name}.ko": file for name, file in modules.items()}, **parts)


def test_guests_are_what_hosts_are(settings: Settings) -> None:
    found: Provider = provider_of(settings, ALONE)
    assert found.name == "guests"


def test_what_a_guest_will_run_is_said_as_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider, "source_version", lambda file: f"of {file}")
    host = PreparedGuests({"a": machine(nbd=Path("x/my-nbd.ko"))}).hosts["a"]
    assert (host.kernel, host.modules) == ("6.1.0-1", {"nbd": "of x/my-nbd.ko"})
    assert host.facts == {
        "kernel": "6.1.0-1",
        "kernel_from": "debian:12",
        "kernel_package": "6.1.1-1",
        "kernel_digest": "k1",
        "image_digest": "i1",
        "modules": {"kernel/nbd.ko": "my-nbd.ko"},
        "accelerator": "tcg",
    }


def test_a_kernel_that_lacks_what_is_needed_is_told_before_anything_is_built(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacks(kernel: object, needs: object, progress: object) -> None:
        raise UsageError(f"the kernel lacks {needs}")

    monkeypatch.setattr("harness.kernels.host_kernels.find_kernel", lambda *_, **__: None)
    monkeypatch.setattr("harness.kernels.host_kernels.check_kernel", lacks)
    needs = HostNeeds(kernel={"a": ("nbd",)})
    with pytest.raises(UsageError, match=r"lacks {'a': \('nbd',\)}"):
        GuestProvider(settings).check(ALONE, needs, Silent())
    with pytest.raises(UsageError, match=r"lacks {'a': \('nbd',\)}"):
        GuestProvider(settings).prepare(ALONE, needs, Silent())


class FakeLab:
    """Comes up, or does not, and notes what happens to it."""

    error: Exception | None = None

    def __init__(self, said: list[str]) -> None:
        self._said = said

    def __call__(self, settings: Settings, machines: object, **listening: object) -> FakeLab:
        return self

    def start(self, topology: Topology) -> Site:
        self._said.append("up")
        if self.error:
            raise self.error
        return Site(topology=topology, targets={})

    def close(self) -> None:
        self._said.append("down")


def hold(settings: Settings, said: list[str]) -> None:
    provided = GuestProvider(settings).provide(
        ALONE,
        PreparedGuests({}),
        purpose="a test",
        listener=Deaf(),
        console_path=Path,
        notes=Silent(),
        on_wait=said.append,
        on_begin=lambda: said.append("begin"),
    )
    with provided:
        said += [str(lease).partition(") ")[2] for lease in leases(StateDir(settings.state))]


def test_guests_have_their_memory_as_long_as_they_are_up(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    lab = FakeLab(said)
    monkeypatch.setattr(provider, "Lab", lab)
    hold(settings, said)
    assert said == ["begin", "up", "holds 41.6 MiB for a test", "down"]
    lab.error = InfraError("no guest")
    with pytest.raises(InfraError, match="no guest"):
        hold(settings, said)
    assert said[4:] == ["begin", "up", "down"] and not leases(StateDir(settings.state))


def test_memory_that_is_not_there_is_told_before_anything_begins(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr("harness.guests.lease.SHARE_FOR_GUESTS", 0.0)
    with pytest.raises(HostEnvironmentError, match="a test needs"):
        hold(settings, said)
    assert not said


def test_a_guest_of_a_daemon_is_owed_as_a_domain_first(tmp_path: Path) -> None:
    domain, process = guest_owed(tmp_path, "qemu:///system", UUID_1, "a.con")
    assert (domain.kind, domain.fields) == ("domain", {"uri": "qemu:///system", "uuid": str(UUID_1)})
    assert guest_owed(tmp_path, EMBEDDED, UUID_1, "a.con") == (process,) == (qemu_owed(tmp_path, "a.con"),)
    assert process.fields["below"] == "a.con" and Path(process.fields["program"]).name.startswith("qemu-system")
    assert switch_owed(tmp_path, "net-lan").kind == "process"


@pytest.mark.parametrize("is_gone", [True, False])
def test_a_domain_is_owed_until_its_daemon_knows_it_no_more(tmp_path: Path, is_gone: bool) -> None:
    owed_for_it = guest_owed(tmp_path, "qemu:///system", UUID_1, "a.con")
    for obligation in owed_for_it:
        owe(obligation)
    meet_guest(owed_for_it, is_gone=is_gone)
    assert obligations.owed(tmp_path) == (() if is_gone else owed_for_it[:1])


def test_a_guest_is_owed_before_libvirt_is_asked_for_it(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    run = StateDir(settings.state).open_run()
    keys = Keys(client_file=settings.state / "key", client_public="ssh-ed25519 AAAA")
    ground = Ground(settings=settings, run=run, connection=None, sockets={}, keys=keys)
    host = ALONE.hosts[0]
    machine: Any = SimpleNamespace(kernel=SimpleNamespace(vmlinuz=Path("k"), initrd=Path("i")), accelerator="tcg")
    identity = identity_of(ALONE, host, keys.client_public)
    parts = Parts(host=host, machine=machine, identity=identity, disks=(), segments=(), label="a", is_restored=True)
    seen: list[str] = []

    def refuse(*_: object, **__: object) -> None:
        seen.extend(f"{obligation.kind} {obligation.fields['below']}" for obligation in obligations.owed(run.path))
        raise BootError(host="a", problem="libvirt cannot restore it")

    monkeypatch.setattr("harness.guests.guest.LibvirtGuest", refuse)
    with closing(BoundedFile(settings.state / "console", 1000)) as console:
        guest = Guest(ground, parts, listener=Deaf(), console=console)
        with pytest.raises(BootError):
            guest.restore(Path("image"), Deadline.after(5.0))
        assert seen == ["process a.con"]
        guest.close()
    assert run.close() is True, "nothing is owed once it is known that nothing runs"


def test_a_switch_is_owed_before_it_is_started(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def refuse(folder: Path) -> None:
        seen.extend(obligation.fields["below"] for obligation in obligations.owed(folder.parent))
        raise InfraError("vde_switch did not start")

    monkeypatch.setattr("harness.guests.lab.VdeSwitch", refuse)
    monkeypatch.setattr("harness.guests.lab.connected_to", lambda uri, state: nullcontext())
    pair = Topology(name="pair", hosts=ALONE.hosts, links=(Link(name="lan", hosts=("a", "b")),))
    lab = Lab(settings, {}, listener=Deaf(), console_path=Path)
    with pytest.raises(InfraError):
        lab.start(pair)
    assert seen == ["net-lan"] and StateDir(settings.state).runs() == []


class Daemon:
    """A libvirt daemon with domains of these UUIDs; notes which of them are destroyed."""

    def __init__(self, *uuids: UUID) -> None:
        self.uuids, self.destroyed = uuids, list[str]()
        self.closed = False

    def listAllDomains(self) -> list[Any]:  # noqa: N802
        def domain(uuid: str) -> Any:
            return SimpleNamespace(UUIDString=lambda: uuid, destroy=lambda: self.destroyed.append(uuid))

        return [domain(str(uuid)) for uuid in self.uuids]

    def close(self) -> None:
        self.closed = True


def test_the_domain_that_is_owed_is_ended_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = Daemon(UUID_1, UUID(int=2))
    monkeypatch.setattr(owed, "connect", lambda uri, root: daemon)
    domain, _ = guest_owed(tmp_path, "qemu:///system", UUID_1, "a.con")
    assert meet_owed(domain) == [f"ended domain {UUID_1} of qemu:///system"]
    assert daemon.destroyed == [str(UUID_1)] and daemon.closed
    monkeypatch.setattr(owed, "connect", lambda uri, root: Daemon())
    assert meet_owed(domain) == [], "it was gone already"


def dead_run(settings: Settings, obligation: Obligation) -> Path:
    """A run that nobody owns any more, and that owes something."""
    run = StateDir(settings.state).open_run()
    owe(Obligation(run=run.path, provider=obligation.provider, kind=obligation.kind, fields=obligation.fields))
    assert not run.close()
    return run.path


def test_a_daemon_that_does_not_answer_keeps_what_is_owed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(uri: str, root: Path) -> None:
        raise HostEnvironmentError(f"libvirt at {uri} does not answer", remedy="see")

    monkeypatch.setattr(owed, "connect", silent)
    domain, _ = guest_owed(settings.state, "qemu:///system", UUID_1, "a.con")
    path = dead_run(settings, domain)
    (line,) = clean(settings)
    assert line.startswith(f"run {path.name}: kept {path}: libvirt at qemu:///system does not answer")
    monkeypatch.setattr(owed, "connect", lambda uri, root: Daemon(UUID_1))
    assert len(clean(settings)) == 2 and not path.exists()


@pytest.mark.parametrize(
    ("name", "kind", "problem"),
    [
        ("racks", "process", "nobody here knows how to end a process of 'racks'"),
        ("guests", "rack", "nobody here knows how to end a rack of 'guests'"),
    ],
)
def test_what_nobody_can_end_stays_noted(settings: Settings, name: str, kind: str, problem: str) -> None:
    path = dead_run(settings, Obligation(run=settings.state, provider=name, kind=kind, fields={}))
    assert clean(settings) == [f"run {path.name}: kept {path}: {problem}"]
    assert path.exists()


def test_places_of_the_dead_in_the_queue_for_memory_go_with_the_rest(settings: Settings) -> None:
    state = StateDir.of(settings)
    script = (
        "from harness.guests.lease import acquire; from harness.model.clock import Deadline\n"
        "with acquire(state, memory=1, budget=1, deadline=Deadline.after(9), on_wait=print):\n"
        "    print(flush=True); sys.stdin.read()"
    )
    with python(state, script) as (process, _):
        assert clean(settings) == []
        kill(process)
        (line,) = clean(settings)
    assert line.startswith(f"lease: pid {process.pid} ") and not leases(state)
