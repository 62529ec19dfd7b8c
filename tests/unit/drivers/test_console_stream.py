"""A console is read until it is closed: over breaks, a sink that fails, and programs and servers that misbehave."""

from __future__ import annotations

import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from harness.drivers.consoles import base, open_console
from harness.drivers.consoles.base import Channel, Opening, Stream
from harness.drivers.consoles.pty_command import PtyChannel
from harness.model.clock import Deadline
from harness.model.errors import HostEnvironmentError, InfraError
from harness.model.owned_host import ConsoleSpec

WAIT_S = 10.0


def until(true: Callable[[], object], what: str = "it") -> None:
    end = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < end, f"{what} did not happen"
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def soon_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "AGAIN_S", 0.05)


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """No test leaves a thread, a process or an open file."""
    threads, files, before = threading.active_count(), open_files(), children()
    yield
    until(lambda: threading.active_count() == threads, "the end of the threads")
    until(lambda: children() <= before, "the end of the processes")
    until(lambda: open_files() == files, "the end of the files")


def open_files() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


def children() -> set[str]:
    """The process ids of this process's children; another test's resource tracker may be one for good."""
    found: set[str] = set()
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # the thread has ended
            found |= {*(task / "children").read_text().split()}
    return found


class Fake(Channel):
    """What is put into `items` is read: bytes, b"" for the end, or an error."""

    def __init__(self) -> None:
        self.items: queue.Queue[bytes | Exception] = queue.Queue()
        self.written: list[bytes] = []
        self.closed = 0
        self.fails: Exception | None = None

    def read(self) -> bytes:
        item = self.items.get()
        if isinstance(item, Exception):
            raise item
        return item

    def write(self, data: bytes) -> None:
        if self.fails:
            raise self.fails
        self.written.append(data)

    def send_break(self, key: str) -> None:
        self.write(b"break " + key.encode())

    def close(self) -> None:
        self.closed += 1
        self.items.put(b"")
        if self.fails:
            raise self.fails


class Line:
    """Channels that are opened one after the other; `refuses` is raised instead."""

    def __init__(self) -> None:
        self.channels: list[Fake] = []
        self.heard = bytearray()
        self.refuses: Exception | None = None
        self.attempts = 0
        self.gate = threading.Event()
        self.gate.set()

    def connect(self, deadline: Deadline) -> Channel:
        self.attempts += 1
        self.gate.wait()
        if self.refuses:
            raise self.refuses
        self.channels.append(Fake())
        return self.channels[-1]

    def open(self, sink: Callable[[bytes], None] | None = None) -> Stream:
        opening = Opening(
            spec=ConsoleSpec(driver="fake"),
            host="ib1",
            power=None,
            sink=sink or self.heard.extend,
            deadline=Deadline.after(5),
        )
        return Stream("fake", opening, self.connect)


def test_what_breaks_is_opened_again() -> None:
    line = Line()
    stream = line.open()
    line.channels[0].items.put(b"one ")
    line.channels[0].items.put(b"")
    until(lambda: len(line.channels) == 2)
    line.channels[1].items.put(b"two ")
    line.channels[1].items.put(ConnectionResetError("reset by peer"))
    until(lambda: len(line.channels) == 3)
    line.channels[2].items.put(b"three")
    until(lambda: line.heard == b"one two three")
    assert [channel.closed for channel in line.channels] == [1, 1, 0]
    stream.close()
    assert line.channels[2].closed >= 1


def test_broken_tells_why_until_it_is_connected() -> None:
    line = Line()
    stream = line.open()
    assert stream.broken == ""
    line.refuses = InfraError("the console server\nis away")
    line.channels[0].items.put(OSError("cable cut"))
    until(lambda: stream.broken == "the console server is away")
    with pytest.raises(InfraError, match="the console server is away"):
        stream.send(b"x")
    line.refuses = None
    until(lambda: len(line.channels) == 2)
    until(lambda: stream.broken == "")  # though the host says nothing
    stream.send(b"x")
    assert line.channels[1].written == [b"x"]
    stream.close()


def test_broken_names_the_console_and_the_reason() -> None:
    line = Line()
    stream = line.open()
    line.gate.clear()
    line.channels[0].items.put(OSError("cable cut"))
    until(lambda: stream.broken)
    assert stream.broken == "the fake console of ib1 broke: cable cut"
    line.gate.set()
    stream.close()


@pytest.mark.parametrize("error", [ValueError("odd"), TypeError("odder"), RuntimeError("a\nb")])
def test_an_error_that_nobody_expects_does_not_end_it(error: Exception) -> None:
    line = Line()
    stream = line.open()
    line.refuses = error
    line.channels[0].items.put(error)
    until(lambda: line.attempts >= 3)
    assert stream.broken and "\n" not in stream.broken
    line.refuses = None
    until(lambda: len(line.channels) == 2)
    stream.close()


def test_a_sink_that_fails_is_told_and_the_console_is_read_on() -> None:
    line = Line()
    calls: list[bytes] = []

    def sink(data: bytes) -> None:
        calls.append(data)
        raise ValueError(f"disk full at {data.decode()}")

    stream = line.open(sink)
    for text in (b"1", b"2", b"3"):
        line.channels[0].items.put(text)
    until(lambda: len(calls) == 3)
    assert str(stream.error) == "disk full at 1"
    assert stream.broken == ""
    stream.close()


def test_input_goes_to_the_channel_and_its_failure_is_one_line() -> None:
    line = Line()
    stream = line.open()
    stream.send(b"ls\n")
    stream.send_break("t")
    assert line.channels[0].written == [b"ls\n", b"break t"]
    line.channels[0].fails = OSError("it takes no input")
    with pytest.raises(InfraError, match="the fake console of ib1: it takes no input"):
        stream.send(b"x")
    stream.close()


def test_closing_never_raises_and_may_be_repeated() -> None:
    line = Line()
    stream = line.open()
    line.channels[0].fails = RuntimeError("close failed")
    stream.close()
    stream.close()


def test_a_sink_may_close_it() -> None:
    line = Line()
    streams: list[Stream] = []
    streams.append(line.open(lambda _: streams[0].close()))
    line.channels[0].items.put(b"x")
    until(lambda: line.channels[0].closed)


def test_what_is_opened_while_it_is_closed_is_closed_too() -> None:
    line = Line()
    stream = line.open()
    line.gate.clear()
    line.channels[0].items.put(b"")
    until(lambda: line.attempts == 2)
    closing = threading.Thread(target=stream.close)
    closing.start()
    time.sleep(0.1)
    line.gate.set()
    closing.join()
    until(lambda: len(line.channels) == 2 and line.channels[1].closed)


def test_a_first_connection_that_fails_leaves_nothing() -> None:
    line = Line()
    line.refuses = InfraError("refused")
    with pytest.raises(InfraError, match="refused"):
        line.open()


# Programs under a terminal.


def shell(command: str) -> PtyChannel:
    return PtyChannel(["sh", "-c", command], {"OF_PROGRAM": "yes"}, "~B", lambda: None)


def read_all(channel: Channel) -> bytes:
    said = b""
    while data := channel.read():
        said += data
    return said


def test_a_program_is_read_to_its_end_and_has_its_environment() -> None:
    channel = shell("echo $OF_PROGRAM; tty >/dev/null && echo terminal; echo $(ps -o pgid= $$) $$")
    words = read_all(channel).split()
    assert words[:2] == [b"yes", b"terminal"]
    assert words[2] == words[3]  # a group of its own
    channel.close()


def test_everything_that_a_program_prints_arrives() -> None:
    channel = shell("seq 1 50000")
    assert read_all(channel) == b"".join(b"%d\n" % number for number in range(1, 50001))
    channel.close()


@pytest.mark.parametrize("trap", ["", "trap '' TERM HUP INT; "])
def test_its_process_group_is_gone_after_close(trap: str, tmp_path: Path) -> None:
    channel = shell(f"{trap}sleep 77 & echo $! >{tmp_path}/child; echo ready; sleep 77; sleep 77")
    assert channel.read() == b"ready\n"
    group = channel._process.pid
    channel.close()
    until(lambda: not Path(f"/proc/{(tmp_path / 'child').read_text().strip()}").exists(), "the end of the child")
    until(lambda: not group_lives(group), "the end of the group")


def group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_reader_returns_when_another_thread_closes_it() -> None:
    channel = shell("setsid sleep 3 & exec sleep 60")  # what left the group holds the terminal
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(channel.read()))
    reader.start()
    time.sleep(0.1)
    channel.close()
    reader.join(2)
    assert got == [b""]


def test_closing_twice_leaves_a_file_alone_that_got_its_number() -> None:
    channel = shell("sleep 60")
    channel.close()
    with Path("/dev/null").open("rb"):
        channel.close()
        assert channel.read() == b""
    with pytest.raises(OSError):
        channel.write(b"x")


def test_two_threads_may_close_it() -> None:
    ended: list[int] = []
    channel = PtyChannel(["sleep", "60"], {}, "", lambda: ended.append(1))
    threads = [threading.Thread(target=channel.close) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ended == [1]


def test_a_program_that_takes_no_input_is_no_trap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.drivers.consoles.pty_command.WRITE_S", 0.5)
    channel = shell("exec sleep 60")
    with pytest.raises(OSError, match="it takes no input"):
        channel.write(b"x" * 1_000_000)
    channel.close()


def test_a_break_is_typed_slowly() -> None:
    channel = shell("dd bs=1 count=4 2>/dev/null | od -An -c")
    start = time.monotonic()
    channel.send_break("t")
    assert time.monotonic() - start > 1.0
    assert read_all(channel).split() == [b"\\r", b"~", b"B", b"t"]
    channel.close()


def test_a_program_that_is_not_installed_has_a_way_out() -> None:
    with pytest.raises(HostEnvironmentError, match="no-such-console is not installed; apt install no-such-console"):
        PtyChannel(["no-such-console"], {}, "", lambda: None)


def test_a_command_of_the_owners_as_a_console(tmp_path: Path) -> None:
    heard = bytearray()
    spec = ConsoleSpec(driver="ssh", command=f"cd {tmp_path} && pwd && cat")
    stream = open_console(spec, "ib1", None, heard.extend, deadline=Deadline.after(5))
    until(lambda: f"{tmp_path}\n".encode() in heard)
    stream.send(b"typed\n")
    until(lambda: b"typed\n" in heard)
    stream.close()


CONSOLE = """\
#!/bin/sh
case "$6" in
good) echo "[Enter \\`^Ec?' for help]"; echo login:; exec cat;;
down) printf "[\\`down' -- console is down]\\r\\n[Enter \\`^Ec?' for help]\\n"; exec cat;;
none) printf "127.0.0.1: console \\`none' not found\\r\\n";;
hang) exec sleep 60;;
*) echo "$@";;
esac
"""


def conserver(name: str, heard: bytearray, seconds: float = 5.0) -> Stream:
    spec = ConsoleSpec(driver="conserver", address="127.0.0.1", port=7820, console=name)
    return open_console(spec, "ib1", None, heard.extend, deadline=Deadline.after(seconds))


@pytest.fixture
def console(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "console").write_text(CONSOLE)
    (tmp_path / "console").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


@pytest.mark.usefixtures("console")
def test_conservers_own_words_are_not_the_hosts() -> None:
    heard = bytearray()
    stream = conserver("good", heard)
    until(lambda: b"login:\n" in heard)
    assert b"Enter" not in heard
    stream.close()


@pytest.mark.usefixtures("console")
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("none", "127.0.0.1: console `none' not found"),
        ("odd", "-M 127.0.0.1 -p 7820 -f odd"),
        ("hang", "no answer"),
        ("down", "console is down"),
    ],
)
def test_a_console_that_conserver_does_not_show_is_refused_in_one_line(name: str, reason: str) -> None:
    with pytest.raises(InfraError) as caught:
        conserver(name, bytearray(), 1.0)
    assert str(caught.value).startswith(f"the console {name} of ib1 at 127.0.0.1:7820: ")
    assert reason in str(caught.value) and "\n" not in str(caught.value)


# Behind a TCP port.


class Port:
    """A TCP port of a test's own."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.heard = bytearray()

    def open(self, *, raw: bool = False) -> Stream:
        port = self.listener.getsockname()[1]
        spec = ConsoleSpec(driver="telnet", address="127.0.0.1", port=port, raw=raw)
        return open_console(spec, "ib1", None, self.heard.extend, deadline=Deadline.after(5))


@pytest.fixture
def port() -> Iterator[Port]:
    port = Port()
    yield port
    port.listener.close()


def receive(connection: socket.socket, size: int) -> bytes:
    connection.settimeout(WAIT_S)
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        assert more, data
        data += more
    return data


def test_telnet(port: Port) -> None:
    stream = port.open()
    connection, _ = port.listener.accept()
    with connection:
        connection.sendall(b"a\xff\xfb\x01b\xff\xffc\xff\xfd\x18")
        assert receive(connection, 6) == b"\xff\xfd\x01\xff\xfc\x18"
        until(lambda: port.heard == b"ab\xffc")
        stream.send(b"x\xffy")
        assert receive(connection, 4) == b"x\xff\xffy"
        stream.send_break("t")
        assert receive(connection, 3) == b"\xff\xf3t"
        stream.close()
        assert connection.recv(1) == b""


def test_a_raw_port(port: Port) -> None:
    stream = port.open(raw=True)
    connection, _ = port.listener.accept()
    with connection:
        connection.sendall(b"a\xff\xfb\x01")
        until(lambda: port.heard == b"a\xff\xfb\x01")
        stream.send(b"x\xffy")
        assert receive(connection, 3) == b"x\xffy"
        with pytest.raises(InfraError, match="a raw connection carries no break; use telnet or RFC 2217"):
            stream.send_break("t")
        stream.close()


def test_a_server_that_comes_back_begins_a_new_negotiation(port: Port) -> None:
    stream = port.open()
    first, _ = port.listener.accept()
    with first:
        first.sendall(b"one\xff\xfb")  # cut in a command
        until(lambda: port.heard == b"one")
    second, _ = port.listener.accept()
    with second:
        second.sendall(b"\xff\xfb\x01two")
        until(lambda: port.heard == b"onetwo")
        assert receive(second, 3) == b"\xff\xfd\x01"
        until(lambda: stream.broken == "")
        stream.close()


@pytest.mark.parametrize("driver", ["telnet", "rfc2217"])
def test_a_port_where_nothing_listens_is_named(driver: str, port: Port) -> None:
    number = port.listener.getsockname()[1]
    port.listener.close()
    spec = ConsoleSpec(driver=driver, address="127.0.0.1", port=number)
    with pytest.raises(InfraError) as caught:
        open_console(spec, "ib1", None, port.heard.extend, deadline=Deadline.after(5))
    assert str(caught.value).startswith(f"the console of ib1 at 127.0.0.1:{number}: ")
    assert "Connection refused" in str(caught.value) and "\n" not in str(caught.value)


def test_a_server_that_does_not_speak_rfc_2217_is_named(port: Port) -> None:
    number = port.listener.getsockname()[1]
    spec = ConsoleSpec(driver="rfc2217", address="127.0.0.1", port=number)
    start = time.monotonic()
    with pytest.raises(InfraError, match=f"the console of ib1 at 127.0.0.1:{number}: "):
        open_console(spec, "ib1", None, port.heard.extend, deadline=Deadline.after(2))
    assert time.monotonic() - start < 6


def test_a_server_that_refuses_in_the_middle_of_rfc_2217_is_named(port: Port) -> None:
    """As ser2net does when somebody has its port: it begins to negotiate, and hangs up with a reset."""

    def refuse() -> None:
        connection, _ = port.listener.accept()
        with connection:
            connection.sendall(b"\xff\xfb\x03\xff\xfd\x2c" * 50 + b"Port already in use\r\n")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    server = threading.Thread(target=refuse)
    server.start()
    number = port.listener.getsockname()[1]
    spec = ConsoleSpec(driver="rfc2217", address="127.0.0.1", port=number)
    with pytest.raises(InfraError, match=f"the console of ib1 at 127.0.0.1:{number}: "):
        open_console(spec, "ib1", None, port.heard.extend, deadline=Deadline.after(2))
    server.join()
