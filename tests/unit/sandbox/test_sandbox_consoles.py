"""Consoles of a sandbox: the socket, a terminal on it, and the logs."""

from __future__ import annotations

import os
import pty
import shutil
import socket
import tempfile
import termios
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes import FakeClock

from harness.drivers.serial.bounded_file import BoundedFile
from harness.model.errors import InfraError, UsageError
from harness.sandbox.attach import attach
from harness.sandbox.logs import Tail, show
from harness.sandbox.port import BEHIND, ConsolePort


class Guest:
    """What is typed to a guest; `gone`: nobody reads it."""

    def __init__(self) -> None:
        self.typed = bytearray()
        self.heard = threading.Event()
        self.gone = False

    def type_in(self, data: bytes) -> None:
        if self.gone:
            raise InfraError("no guest on this wire")
        self.typed += data
        self.heard.set()


@pytest.fixture
def path() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="hc-", dir="/tmp"))
    yield folder / "front.port"
    shutil.rmtree(folder)


@pytest.fixture
def guest() -> Guest:
    return Guest()


@pytest.fixture
def port(path: Path, guest: Guest) -> Iterator[ConsolePort]:
    port = ConsolePort(path, guest.type_in)
    yield port
    port.close()


def nothing() -> None:
    pass


def connect(path: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(30)
    client.connect(str(path))
    return client


def read(client: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (piece := client.recv(size - len(data))):
        data += piece
    return data


def test_who_connects_sees_the_last_of_it_and_what_follows(path: Path, port: ConsolePort) -> None:
    port.hear(b"booted\n")
    with connect(path) as one, connect(path) as two:
        assert read(one, 7) == read(two, 7) == b"booted\n"
        port.hear(b"more\n")
        assert read(one, 5) == read(two, 5) == b"more\n"


def test_what_is_typed_reaches_the_guest(path: Path, port: ConsolePort, guest: Guest) -> None:
    with connect(path) as client:
        client.sendall(b"uname\n")
        assert guest.heard.wait(30)
    assert guest.typed == b"uname\n"


def test_who_reads_nothing_is_let_go_and_holds_up_nobody(path: Path, port: ConsolePort) -> None:
    port.hear(b"x")
    with connect(path) as idle, connect(path) as other:
        assert read(idle, 1) == read(other, 1) == b"x"
        for _ in range(4 * BEHIND // 65536):
            port.hear(b"y" * 65536)
            assert len(read(other, 65536)) == 65536
        seen = 0
        while piece := idle.recv(65536):
            seen += len(piece)
        assert seen < 4 * BEHIND


def test_typing_to_a_guest_that_is_gone_ends_the_connection(path: Path, port: ConsolePort, guest: Guest) -> None:
    guest.gone = True
    with connect(path) as client:
        client.sendall(b"x")
        assert client.recv(10) == b""


def test_a_closed_port_lets_everybody_go(path: Path, port: ConsolePort) -> None:
    port.hear(b"x")
    with connect(path) as client:
        read(client, 1)
        port.close()
        assert client.recv(10) == b""
    assert not path.exists()


def test_a_terminal_types_until_the_escape_key_and_is_as_it_was(path: Path, port: ConsolePort, guest: Guest) -> None:
    ours, theirs = pty.openpty()
    screen_out, screen_in = os.pipe()
    before = termios.tcgetattr(theirs)
    left: list[bool] = []
    thread = threading.Thread(target=lambda: left.append(attach(path, theirs, screen_in, nothing)))
    port.hear(b"login: ")
    thread.start()
    assert os.read(screen_out, 100) == b"login: "
    os.write(ours, b"\x03ls\r")
    assert guest.heard.wait(30)
    guest.heard.clear()
    os.write(ours, b"x\x1dy")
    thread.join(30)
    assert left == [True] and guest.heard.wait(30)
    assert guest.typed == b"\x03ls\rx", "Ctrl-C is the guest's, nothing after the escape key is"
    assert termios.tcgetattr(theirs) == before
    for descriptor in (ours, theirs, screen_out, screen_in):
        os.close(descriptor)


def test_a_terminal_notices_that_the_console_goes_away(path: Path, port: ConsolePort) -> None:
    ours, theirs = pty.openpty()
    screen_out, screen_in = os.pipe()
    left: list[bool] = []
    thread = threading.Thread(target=lambda: left.append(attach(path, theirs, screen_in, nothing)))
    port.hear(b"x")
    thread.start()
    os.read(screen_out, 1)
    port.close()
    thread.join(30)
    assert left == [False]
    for descriptor in (ours, theirs, screen_out, screen_in):
        os.close(descriptor)


def test_attaching_without_a_terminal_or_a_console_is_a_mistake(path: Path) -> None:
    reader, writer = os.pipe()
    with pytest.raises(UsageError, match="the input is no terminal"):
        attach(path, reader, writer, nothing)
    ours, theirs = pty.openpty()
    with pytest.raises(UsageError, match="nobody listens on"):
        attach(path, theirs, writer, nothing)
    for descriptor in (ours, theirs, reader, writer):
        os.close(descriptor)


def test_a_tail_reads_every_line_over_all_parts(tmp_path: Path) -> None:
    file = BoundedFile(tmp_path / "c", 400)  # 200 at first, then parts of 100
    tail = Tail(file.path)
    written: list[str] = []
    seen: list[str] = []
    for number in range(60):
        line = f"line {number:04d}"
        written.append(line)
        file.write(line.encode() + b"\n")
        seen += tail.lines()
    assert seen == written
    assert tail.rest() == ""
    tail.close()
    file.close()


def test_a_tail_that_begins_late_reads_what_is_left(tmp_path: Path) -> None:
    file = BoundedFile(tmp_path / "c", 400)
    for number in range(60):
        file.write(f"line {number:04d}\n".encode())
    tail = Tail(file.path)
    seen = list(tail.lines())
    assert seen[0] == "line 0000" and seen[-1] == "line 0059"
    assert len(seen) < 60
    tail.close()
    file.close()


def test_a_tail_that_falls_behind_goes_on_with_the_oldest_part_there_is(tmp_path: Path) -> None:
    file = BoundedFile(tmp_path / "c", 400)
    tail = Tail(file.path)
    file.write(b"first\n")
    assert list(tail.lines()) == ["first"]
    for number in range(60):
        file.write(f"line {number:04d}\n".encode())
    seen = list(tail.lines())
    assert seen[0] == "line 0000" and seen[-1] == "line 0059"
    tail.close()
    file.close()


def test_logs_name_the_host_where_there_are_several_and_are_safe_to_show(tmp_path: Path) -> None:
    (tmp_path / "front").write_bytes(b"one\r\n\x1b[2Jtwo\nlogin: ")
    (tmp_path / "back").write_bytes(b"other\n")
    lines: list[str] = []
    consoles = {"front": tmp_path / "front", "back": tmp_path / "back"}
    show(consoles, lines.append, going_on=lambda: False, clock=FakeClock())
    assert lines == ["front: one", "front: two", "back: other", "front: login: "]
    lines.clear()
    show({"front": tmp_path / "front"}, lines.append, going_on=lambda: False, clock=FakeClock())
    assert lines == ["one", "two", "login: "]


def test_logs_go_on_until_the_guests_are_gone(tmp_path: Path) -> None:
    path, clock = tmp_path / "front", FakeClock(0.0)
    path.write_bytes(b"one\ntw")
    lines: list[str] = []

    def write_more(now: float) -> None:
        with path.open("ab") as file:
            file.write(b"o\nthree\n" if now < 1.0 else b"")

    clock.at_each = write_more
    show({"front": path}, lines.append, going_on=lambda: clock.now < 0.1, clock=clock)
    assert lines == ["one", "two", "three"]
