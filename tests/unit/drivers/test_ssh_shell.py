"""Commands over SSH: quoting, and deadlines that hold when nobody answers, or nobody is there."""

from __future__ import annotations

import shlex
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.drivers.ssh import FabricShell, SshAddress, quote, read_key
from harness.guests.keys import keys_of, make_key
from harness.model.clock import Deadline
from harness.model.errors import DeadlineExceeded, ShellError


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_every_argument_is_one_word(arguments: list[str]) -> None:
    text = quote("echo " + " ".join(["%s"] * len(arguments)), tuple(arguments))
    assert shlex.split(text) == ["echo", *arguments]


def test_a_command_without_arguments_is_left_alone() -> None:
    assert quote("printf %s 100%", ()) == "printf %s 100%"
    assert quote("printf %%s %s", ("a b; rm -rf /",)) == "printf %s 'a b; rm -rf /'"
    assert quote("kill %s", (7,)) == "kill 7"


class Server:
    """Listens on 127.0.0.1; `greeting` None: accepts and never says a word; b"": closes at once."""

    def __init__(self, greeting: bytes | None) -> None:
        self._greeting = greeting
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._peers: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return
            if self._greeting == b"":
                peer.close()
                continue
            if self._greeting is not None:
                peer.sendall(self._greeting)
            self._peers.append(peer)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(timeout=10)
        for peer in self._peers:
            peer.close()


@pytest.fixture
def address(tmp_path: Path) -> SshAddress:
    keys = keys_of(tmp_path)
    return SshAddress(host="c1", name="127.0.0.1", port=1, key_file=keys.client_file, host_key=make_key()[1])


@pytest.fixture(params=[None, b"SSH-2.0-stopped\r\n"], ids=["silent", "stopped in the key exchange"])
def silent(request: pytest.FixtureRequest) -> Iterator[Server]:
    server = Server(request.param)
    yield server
    server.close()


@pytest.fixture
def closing() -> Iterator[Server]:
    server = Server(b"")
    yield server
    server.close()


def at(address: SshAddress, port: int) -> FabricShell:
    return FabricShell(
        SshAddress(host="c1", name="127.0.0.1", port=port, key_file=address.key_file, host_key=address.host_key)
    )


def test_a_host_that_never_answers_is_given_up_at_the_deadline(address: SshAddress, silent: Server) -> None:
    shell = at(address, silent.port)
    for _ in range(2):  # the second is not worse off than the first
        started = time.monotonic()
        with pytest.raises(DeadlineExceeded, match="no answer in time") as caught:
            shell.run("true", deadline=Deadline.after(0.4))
        assert time.monotonic() - started < 10.0  # paramiko alone would wait for an hour
        assert (caught.value.host, caught.value.command) == ("c1", "true")
    with pytest.raises(DeadlineExceeded):
        shell.put(b"data", "/tmp/x", deadline=Deadline.after(0.2))
    shell.close()


def test_a_deadline_that_has_passed_already(address: SshAddress, silent: Server) -> None:
    with pytest.raises(DeadlineExceeded):
        at(address, silent.port).run("true", deadline=Deadline(0.0))


def test_a_host_that_hangs_up(address: SshAddress, closing: Server) -> None:
    with pytest.raises(ShellError, match="SSH") as caught:
        at(address, closing.port).run("true", deadline=Deadline.after(30.0))
    assert not isinstance(caught.value, DeadlineExceeded)


def test_nobody_listens(address: SshAddress) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ShellError, match="SSH: "):
        at(address, port).run("true", deadline=Deadline.after(30.0))


def test_close_before_anything_and_twice(address: SshAddress) -> None:
    shell = FabricShell(address)
    shell.close()
    shell.close()


def test_the_public_half_of_a_key(address: SshAddress, tmp_path: Path) -> None:
    assert address.key_file is not None
    kind, text = read_key(address.key_file).split()
    assert kind == "ssh-ed25519" and text.startswith("AAAA")
