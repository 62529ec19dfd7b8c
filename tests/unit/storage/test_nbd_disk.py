"""A network block device that waits for a new connection: commands, and what its keeper says to the kernel."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fakes import make_site, shell_of

from harness.guest import memory
from harness.model.errors import InfraError, UsageError
from harness.model.topology import MIB
from harness.site.zipapp import pack
from harness.storage.guest import nbd_keeper as keeper
from harness.storage.nbd import NbdDisk
from harness.storage.nbd_client import KEEPER

SIZE, FLAGS = 64 * MIB, 0x141


def test_the_keeper_connects_the_device_and_stays() -> None:
    site = make_site()
    probe = NbdDisk(device="nbd3", dead_conn_timeout_s=40).set_up(site)
    client = shell_of(site.role("client"))
    *_, connect = client.commands
    words = connect.split()
    assert words[:3] == ["python3", "-I", "-S"] and client.files[words[3]] == pack(KEEPER)
    assert words[4:12] == ["/dev/nbd3", "10.77.0.2", "10809", "swap", "4096", "10", "40", "keep"]
    assert probe.spec == {"path": "/dev/nbd3", "offset": SIZE - MIB, "write": True}
    assert f"truncate -s {SIZE} " in shell_of(site.role("server")).commands[1]


def test_without_reconnection_nobody_stays() -> None:
    site = make_site()
    NbdDisk(reconnect=False).set_up(site)
    assert "keep" not in shell_of(site.role("client")).commands[-1].split()


def test_the_bound_counts_the_timeout_of_a_request_that_was_under_way() -> None:
    assert NbdDisk(dead_conn_timeout_s=30).bound_s == 40.0


def test_a_kernel_that_would_not_wait_is_refused() -> None:
    with pytest.raises(UsageError, match="dead_conn_timeout of 0 s"):
        NbdDisk(dead_conn_timeout_s=0)


def test_a_server_that_listens_and_does_not_answer() -> None:
    site = make_site()
    shell_of(site.role("server")).answer("NBDMAGIC", exit_code=1)
    with pytest.raises(InfraError, match="nbd-server does not listen"):
        NbdDisk().set_up(site)


def test_tear_down_ends_the_keeper_before_the_device() -> None:
    site = make_site()
    NbdDisk().tear_down(site)
    (end,) = shell_of(site.role("client")).commands
    assert end.startswith("pkill -x nbd-keeper; nbd-client -d /dev/nbd0;")


def test_what_is_packed_can_be_taken_apart() -> None:
    packed = keeper.attribute(3, b"abc") + keeper.number(4, 7) + keeper.attribute(5 | keeper.NESTED, b"")
    assert len(packed) % 4 == 0
    assert list(keeper.attributes(packed)) == [(3, b"abc"), (4, struct.pack("=Q", 7)), (5, b"")]


def test_what_is_cut_short_ends_the_list() -> None:
    assert list(keeper.attributes(b"\0\0\0\0" * 3)) == []


@pytest.fixture
def kernel() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a socket that keeps messages apart, as netlink does: the keeper's, and the kernel's."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        yield ours, theirs


def message(kind: int, body: bytes) -> bytes:
    return keeper.HEADER.pack(keeper.HEADER.size + len(body), kind, 0, 1, 0) + body


def test_an_answer_comes_before_its_acknowledgement(kernel: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = kernel
    theirs.send(message(30, keeper.GENERIC.pack(1, 1, 0) + b"content"))
    theirs.send(message(keeper.ERROR, struct.pack("=i", 0)))
    assert keeper.ask(ours, 30, keeper.CONNECT, b"attributes") == b"content"
    length, kind, flags, _, _ = keeper.HEADER.unpack_from(sent := theirs.recv(4096))
    assert (length, kind, flags) == (len(sent), 30, 5) and sent.endswith(b"attributes")


def test_a_refusal_is_an_error_with_its_number(kernel: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = kernel
    theirs.send(message(keeper.ERROR, struct.pack("=i", -16)))
    with pytest.raises(OSError, match="busy") as refused:
        keeper.ask(ours, 30, keeper.CONNECT, b"")
    assert refused.value.errno == 16


def test_only_the_death_of_its_own_device_counts(kernel: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = kernel

    def event(command: int, index: int) -> bytes:
        return message(30, keeper.GENERIC.pack(command, 1, 0) + keeper.attribute(1, struct.pack("=I", index)))

    theirs.send(event(keeper.LINK_DEAD, 5))
    theirs.send(event(keeper.CONNECT, 2))
    theirs.send(event(keeper.LINK_DEAD, 2))
    theirs.send(b"next")
    keeper.dies(ours, 2)
    assert ours.recv(16) == b"next", "and nothing after it was taken"


def serve(greeting: bytes, heard: list[bytes]) -> int:
    """A server for one client; returns its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        with listener, listener.accept()[0] as client, contextlib.suppress(ConnectionError):
            client.sendall(greeting[:5])
            client.sendall(greeting[5:])
            heard.append(keeper.receive(client, 24))
            client.sendall(struct.pack(">QH", SIZE, FLAGS))

    threading.Thread(target=answer, daemon=True).start()
    return int(listener.getsockname()[1])


def test_dialling_agrees_on_the_export() -> None:
    heard: list[bytes] = []
    port = serve(keeper.GREETING + struct.pack(">H", 3), heard)
    connection, size, flags = keeper.dial("127.0.0.1", port, "swap")
    with connection:
        assert (size, flags) == (SIZE, FLAGS) and connection.gettimeout() is None
    assert heard == [struct.pack(">I", 3) + b"IHAVEOPT" + struct.pack(">II", 1, 4) + b"swap"]


def test_something_else_that_listens_is_no_server() -> None:
    port = serve(b"SSH-2.0-OpenSSH_9.2p1\r\n", [])
    with pytest.raises(ConnectionRefusedError, match="no NBD server"):
        keeper.dial("127.0.0.1", port, "swap")


class _Libc:
    """Notes the calls, and refuses those in `refused`."""

    def __init__(self, *refused: str) -> None:
        self.refused, self.calls = refused, list[tuple[object, ...]]()

    def __getattr__(self, name: str) -> Callable[..., int]:
        def call(*arguments: int) -> int:
            self.calls.append((name, *arguments))
            return -1 if name in self.refused else 0

        return call


@pytest.fixture
def score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that holds the OOM killer off, for the keeper."""
    path = tmp_path / "oom_score_adj"
    monkeypatch.setattr("builtins.open", lambda _, mode: path.open(mode))
    return path


def test_the_keeper_locks_itself_first_and_then_waits_for_no_io(score: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    libc = _Libc()
    monkeypatch.setattr(memory, "LIBC", libc)
    keeper.guard()
    assert libc.calls == [("mlockall", 3), ("prctl", 57, 1, 0, 0, 0)]
    assert score.read_text() == "-1000"


@pytest.mark.parametrize("call", ["mlockall", "prctl"])
def test_a_protection_that_the_kernel_refuses_is_an_error(
    call: str, score: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "LIBC", _Libc(call))
    with pytest.raises(OSError):
        keeper.guard()
