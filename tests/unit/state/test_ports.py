from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from owned_runs import kill, python, temporary_state

from harness.model.errors import HostEnvironmentError
from harness.state import ports
from harness.state.ports import FREE_PORTS, is_free, port_lease, remove_dead, take_port
from harness.state.state import StateDir

TAKE = """
from harness.state.ports import port_lease
with port_lease(state) as port:
    print(port, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def state() -> Iterator[StateDir]:
    with temporary_state() as state:
        yield state


def listening(kind: socket.SocketKind = socket.SOCK_STREAM, address: str = "127.0.0.1") -> socket.socket:
    listener = socket.socket(type=kind)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, kind is socket.SOCK_STREAM)
    listener.bind((address, 0))
    if kind is socket.SOCK_STREAM:
        listener.listen()
    return listener


def test_two_leases_never_share_a_port(state: StateDir) -> None:
    with ExitStack() as stack:
        found = [stack.enter_context(port_lease(state)) for _ in range(20)]
        assert len(set(found)) == 20
        assert set(found) <= set(FREE_PORTS)
        assert sorted(int(path.name) for path in (state.path / "ports").glob("[0-9]*")) == sorted(found)
    assert list((state.path / "ports").glob("[0-9]*")) == []


def test_a_port_in_use_is_not_chosen(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    with listening() as tcp, listening(socket.SOCK_DGRAM) as udp, port_lease(state) as reserved:
        taken = [tcp.getsockname()[1], udp.getsockname()[1], reserved]
        monkeypatch.setattr(ports, "FREE_PORTS", [*taken])
        with pytest.raises(HostEnvironmentError, match=r"no port from .* is free"), port_lease(state):
            pass
        assert [path.name for path in (state.path / "ports").glob("[0-9]*")] == [str(reserved)]


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_take_port_names_who_listens(state: StateDir, address: str) -> None:
    with listening(address=address) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(HostEnvironmentError) as caught, take_port(state, port):
            pass
        assert str(caught.value).startswith(f"port {port} is taken by pid {os.getpid()} (")
        assert str(caught.value).endswith("; give the host another ssh_port in the inventory, or none for a free one")


def test_take_port_names_the_run_that_has_it_until_that_dies(state: StateDir) -> None:
    with python(state, TAKE) as (process, line):
        with (
            pytest.raises(HostEnvironmentError, match=f"port {line} is taken by another run: pid {process.pid} "),
            take_port(state, int(line)),
        ):
            pass
        kill(process)
        with take_port(state, int(line)) as port:
            assert port == int(line)


def test_a_taken_port_is_given_back(state: StateDir) -> None:
    with port_lease(state) as port:
        pass
    for _ in range(2):
        with pytest.raises(KeyError), take_port(state, port):
            raise KeyError


def test_a_listener_of_nobody_we_may_see(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_listener", lambda port: None)
    with listening() as listener:
        port = listener.getsockname()[1]
        with pytest.raises(HostEnvironmentError, match=f"see: ss -tulpn 'sport = :{port}'; "), take_port(state, port):
            pass


def test_a_connection_that_lingers_is_no_obstacle() -> None:
    with listening() as listener:
        port = listener.getsockname()[1]
        assert not is_free(port)
        with socket.create_connection(("127.0.0.1", port)) as near, listener.accept()[0] as far:
            far.close()  # the side that closes first keeps the port in TIME_WAIT
            assert near.recv(1) == b""
    assert is_free(port)


def test_what_the_dead_left_is_removed(state: StateDir) -> None:
    assert remove_dead(state) == []
    with python(state, TAKE) as (process, line), port_lease(state):
        assert remove_dead(state) == []
        kill(process)
        (removed,) = remove_dead(state)
        assert removed.startswith(f"port {line}: pid {process.pid} (")
        assert remove_dead(state) == []
