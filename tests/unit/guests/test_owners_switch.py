"""A switch of the owner's: it is looked at before anything starts, is one run's at a time, and its end is an error."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import ClassVar

import pytest

from harness.guests.guest import Guest
from harness.guests.guest_spec import Ground
from harness.guests.lab import Lab
from harness.guests.owners_switch import OwnersSwitch, check_switches, switches_held
from harness.guests.provider import GuestProvider, PreparedGuests
from harness.model.errors import InfraError, UsageError
from harness.model.observe import Silent
from harness.model.settings import Settings
from harness.model.topology import MIB, Host, Link, Topology
from harness.site.provider import Deaf, HostNeeds
from harness.site.target import Site
from harness.state.locks import is_locked
from harness.state.state import StateDir


class Switch:
    """Listens where a vde_switch would, and says as little."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder, self.taken = folder, list[socket.socket]()
        self.control = folder / "ctl"
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(self.control))
        self._server.listen()

    def take(self) -> None:
        """Accept the connection that waits."""
        self.taken.append(self._server.accept()[0])

    def close(self) -> None:
        for one in (self._server, *self.taken):
            one.close()


@pytest.fixture
def switch(tmp_path: Path) -> Iterator[Switch]:
    """One that runs."""
    with closing(Switch(tmp_path / "rack.ctl")) as found:
        yield found


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose path is short enough for a run's sockets."""
    with tempfile.TemporaryDirectory(prefix="hs-", dir="/tmp") as folder:
        yield Path(folder)


def topology(*folders: Path) -> Topology:
    links = [Link(name=f"l{number}", hosts=("a", "m"), switch=str(folder)) for number, folder in enumerate(folders)]
    return Topology(name="both", hosts=(Host(name="a", memory=32 * MIB),), links=tuple(links))


def test_a_switch_that_does_not_run_is_told_before_anything_starts(switch: Switch, tmp_path: Path) -> None:
    check_switches(topology(switch.folder))
    provider = GuestProvider(Settings(state=tmp_path, cache=tmp_path, results=tmp_path))
    for folder in (tmp_path / "none", tmp_path):
        with pytest.raises(UsageError) as error:
            provider.check(topology(folder), HostNeeds(), Silent())
        said = str(error.value)
        assert said.startswith(f"link l0: {folder} is not the folder of a running vde_switch; start one: ")
        assert f"vde_switch -d -s {folder}" in said and "\n" not in said


def test_a_switch_that_left_its_socket_does_not_run(switch: Switch) -> None:
    switch.close()
    assert switch.control.is_socket()
    with pytest.raises(UsageError, match="is not the folder of a running vde_switch"):
        check_switches(topology(switch.folder))


def test_a_switch_of_another_user_says_how_it_is_shared(switch: Switch, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, address: str) -> None:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(UsageError, match=r"is not for this user; start it for a group of yours: .* -m 660 -g GROUP"):
        check_switches(topology(switch.folder))


def test_its_end_is_noticed_and_another_in_its_place_is_not_it(switch: Switch) -> None:
    with closing(OwnersSwitch("cluster", switch.folder)) as used:
        switch.take()
        assert used.failure is None
        switch.close()
        switch.control.unlink()
        with closing(Switch(switch.folder)):
            assert f"the switch {switch.folder} of link cluster ended" in str(used.failure)


def test_guests_are_plugged_into_it_and_a_trial_fails_with_it(
    switch: Switch, short_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugged: list[dict[str, Path]] = []

    def bring_up(lab: Lab, ground: Ground, *_: object) -> list[Guest]:
        plugged.append(dict(ground.sockets))
        return []

    monkeypatch.setattr("harness.guests.lab.connected_to", lambda uri, state: nullcontext())
    monkeypatch.setattr(Lab, "_in_parallel", bring_up)
    settings = Settings(state=short_folder, cache=short_folder, results=short_folder, cold=True)
    with closing(Lab(settings, {}, listener=Deaf(), console_path=Path)) as lab:
        site = lab.start(topology(switch.folder))
        assert plugged == [{"l0": switch.folder}]
        switch.take()
        assert site.failure() is None
        switch.close()
        assert isinstance(site.failure(), InfraError)


def test_a_provider_holds_it_for_as_long_as_its_guests_are_up(
    switch: Switch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twins = topology(switch.folder)

    class Idle:
        """A lab that brings nothing up, and notes whether the switch is held."""

        held: ClassVar[list[bool]] = []

        def __init__(self, *_: object, **listening: object) -> None:
            self.lock = next((tmp_path / "switches").iterdir())

        def start(self, topology: Topology) -> Site:
            self.held.append(is_locked(self.lock))
            return Site(topology=topology, targets={})

        def close(self) -> None:
            self.held.append(is_locked(self.lock))

    monkeypatch.setattr("harness.guests.provider.Lab", Idle)
    provided = GuestProvider(Settings(state=tmp_path, cache=tmp_path, results=tmp_path)).provide(
        twins,
        PreparedGuests({}),
        purpose="a test",
        listener=Deaf(),
        console_path=Path,
        notes=Silent(),
        on_wait=print,
        on_begin=lambda: None,
    )
    with provided:
        pass
    assert Idle.held == [True, True]
    assert not is_locked(next((tmp_path / "switches").iterdir()))


def test_one_run_has_it_and_the_next_waits(switch: Switch, tmp_path: Path) -> None:
    state, other = StateDir(tmp_path / "s"), tmp_path / "other.ctl"
    said, order = list[str](), list[str]()
    waits = threading.Event()

    def told(line: str) -> None:
        said.append(line)
        waits.set()

    def next_run() -> None:
        with switches_held(topology(other, switch.folder), state, "the next", told):
            order.append("next")

    with switches_held(topology(switch.folder), state, "a case", print):
        with switches_held(topology(tmp_path / "third.ctl"), state, "another", told):
            assert said == []
        thread = threading.Thread(target=next_run)
        thread.start()
        assert waits.wait(30.0)
        order.append("first")
    thread.join(30.0)
    assert order == ["first", "next"] and len(said) == 1
    assert said[0].startswith(f"waiting: switch {switch.folder} is in use by pid {os.getpid()}")
    assert said[0].endswith("for a case")
