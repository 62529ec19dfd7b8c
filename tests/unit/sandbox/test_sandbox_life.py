"""A supervisor's life in a process of its own, with guests that are fakes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from fakes import make_topology

from harness.guests.lease import leases
from harness.guests.provider import PreparedGuests
from harness.model.clock import SYSTEM_CLOCK
from harness.model.errors import InfraError, UsageError
from harness.model.settings import Settings
from harness.model.topology import MIB
from harness.providers import clean
from harness.sandbox import start as starting
from harness.sandbox.end import end, supervisor_of
from harness.sandbox.guests import SandboxRequest
from harness.sandbox.start import start
from harness.state.sandboxes import Sandbox, sandboxes
from harness.state.state import StateDir

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StateDir]:
    """A state folder whose sandboxes are held by supervisors with fake guests."""
    monkeypatch.setattr(starting, "SUPERVISOR", "tests.unit.sandbox.sandbox_supervisor")
    folder = Path("/tmp") / f"hc-{os.getpid()}-{tmp_path.name[-8:]}"  # short: there are sockets in it
    state = StateDir(folder)
    yield state
    for sandbox in sandboxes(state):
        list(end(settings_in(state), sandbox, SYSTEM_CLOCK))
    subprocess.run(["rm", "-rf", folder], check=True)


def settings_in(state: StateDir) -> Settings:
    return Settings(state=state.path, cache=state.path / "cache", results=state.path / "results")


def wish_for(state: StateDir, behaviour: str = "") -> SandboxRequest:
    topology = make_topology()
    hosts = tuple(replace(host, cmdline=behaviour, memory=32 * MIB) for host in topology.hosts)
    topology = replace(topology, hosts=hosts)
    return SandboxRequest(topology=topology, prepared=PreparedGuests({}), settings=settings_in(state))


def wait_until(true: Callable[[], bool]) -> None:
    for _ in range(600):
        if true():
            return
        time.sleep(0.05)
    pytest.fail("it does not come true")


def ignore(line: str) -> None:
    pass


def test_a_sandbox_outlives_the_command_and_says_how_to_get_in(state: StateDir) -> None:
    notes: list[str] = []
    sandbox = start(wish_for(state), notes.append)
    assert notes == ["booting c1, s1"]
    assert [found.name for found in sandboxes(state)] == ["pair"]
    client, server = sandbox.read()["hosts"]
    assert (client["name"], client["roles"], client["addresses"]) == ("c1", ["client"], ["10.77.0.1"])
    assert (server["name"], server["roles"], server["kernel"]) == ("s1", ["server"], "6.1.0-fake")
    assert "Host c1\n" in sandbox.ssh_config.read_text()
    supervisor = supervisor_of(sandbox)
    assert supervisor is not None
    assert os.getsid(supervisor.pid) == supervisor.pid, "Ctrl-C in the terminal does not reach it"
    assert Path(f"/proc/{supervisor.pid}/fd/0").readlink() == Path("/dev/null")
    (lease,) = leases(state)
    assert lease.granted and "harness up pair" in str(lease)


def test_its_consoles_are_there_to_read_and_to_type_on(state: StateDir) -> None:
    sandbox = start(wish_for(state), ignore)
    assert sandbox.console("c1").read_bytes() == b"Linux version of c1\n"
    with socket.socket(socket.AF_UNIX) as port:
        port.connect(str(sandbox.port("s1")))
        assert port.recv(100) == b"Linux version of s1\n"


def test_down_ends_it_and_leaves_nothing(state: StateDir) -> None:
    sandbox = start(wish_for(state), ignore)
    supervisor = supervisor_of(sandbox)
    assert supervisor is not None
    lines = list(end(settings_in(state), sandbox, SYSTEM_CLOCK))
    assert f"ended the supervisor of 'pair', pid {supervisor.pid}" in lines
    assert "ended c1, s1" in lines, "what the supervisor itself said"
    assert not supervisor.is_running() or supervisor.status() == psutil.STATUS_ZOMBIE
    assert not sandbox.path.exists() and not leases(state) and not sandboxes(state)


def test_a_second_one_of_the_same_name_is_refused(state: StateDir) -> None:
    sandbox = start(wish_for(state), ignore)
    with pytest.raises(UsageError, match=r"'pair' is up already \(pid .*`harness down pair` ends it"):
        start(wish_for(state), ignore)
    assert sandbox.alive and sandbox.read()


@pytest.mark.parametrize(("behaviour", "message"), [("fail", "c1: its kernel panicked"), ("break", "a bug")])
def test_what_keeps_the_hosts_from_coming_up_is_told_and_nothing_is_left(
    state: StateDir, behaviour: str, message: str
) -> None:
    with pytest.raises(InfraError, match=message):
        start(wish_for(state, behaviour), ignore)
    assert [path.name for path in (state.path / "sandboxes").iterdir()] == [".guard"]


def test_ctrl_c_while_it_boots_leaves_nothing(state: StateDir) -> None:
    def interrupt(line: str) -> None:
        if line.startswith("booting"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start(wish_for(state, "hang"), interrupt)
    assert not sandboxes(state) and not leases(state)
    assert [path.name for path in (state.path / "sandboxes").iterdir()] == [".guard"]


def test_a_supervisor_that_is_killed_while_it_boots_is_noticed(state: StateDir) -> None:
    def kill(line: str) -> None:
        supervisor = supervisor_of(Sandbox(state.path / "sandboxes" / "pair"))
        assert supervisor is not None
        supervisor.kill()

    with pytest.raises(InfraError, match="ended without a word: booting c1, s1"):
        start(wish_for(state, "hang"), kill)
    assert not sandboxes(state)


def test_a_command_that_is_killed_while_it_boots_takes_the_guests_with_it(state: StateDir) -> None:
    script = (
        "import sys; sys.path[:0] = ['.', 'tests/unit', 'tests/unit/sandbox']\n"
        "from test_sandbox_life import *\n"
        "starting.SUPERVISOR = 'tests.unit.sandbox.sandbox_supervisor'\n"
        f"start(wish_for(StateDir(Path({str(state.path)!r})), 'hang'), lambda line: print(line, flush=True))\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=ROOT) as command:
        assert command.stdout is not None
        assert command.stdout.readline().startswith(b"booting")
        command.send_signal(signal.SIGKILL)
    wait_until(lambda: not sandboxes(state))
    assert not leases(state)


def test_what_a_killed_supervisor_leaves_is_removed_by_the_next_start(state: StateDir) -> None:
    sandbox = start(wish_for(state), ignore)
    supervisor = supervisor_of(sandbox)
    assert supervisor is not None
    supervisor.kill()
    wait_until(lambda: not sandbox.alive)
    assert sandbox.path.exists() and not sandboxes(state)
    lines = clean(settings_in(state))
    assert any(line.startswith(f"sandbox pair: removed {sandbox.path}, left by pid {supervisor.pid}") for line in lines)
    assert not sandbox.path.exists()
    assert start(wish_for(state), ignore).alive


def test_a_living_one_is_left_alone_by_the_clean_up(state: StateDir) -> None:
    sandbox = start(wish_for(state), ignore)
    assert clean(settings_in(state)) == []
    assert sandbox.alive and sandbox.port("c1").exists()


def test_a_signal_that_does_not_wake_the_supervisor_ends_it_all_the_same(
    state: StateDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it is for one that comes just before the supervisor begins to wait, as where `down` follows `up` at once."""
    monkeypatch.setattr("harness.sandbox.end.END_S", 20.0)
    sandbox = start(wish_for(state, "deaf"), ignore)
    supervisor = supervisor_of(sandbox)
    assert supervisor is not None
    wait_until(lambda: supervisor.status() == psutil.STATUS_SLEEPING)
    assert (
        list(end(settings_in(state), sandbox, SYSTEM_CLOCK))[-1]
        == f"ended the supervisor of 'pair', pid {supervisor.pid}"
    )


def test_a_supervisor_that_does_not_end_is_killed(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.sandbox.end.END_S", 0.5)
    sandbox = start(wish_for(state), ignore)
    supervisor = supervisor_of(sandbox)
    assert supervisor is not None
    supervisor.suspend()

    lines = list(end(settings_in(state), sandbox, SYSTEM_CLOCK))
    assert f"killed, pid {supervisor.pid}" in lines[0]
    assert not sandbox.alive and not sandbox.path.exists()
