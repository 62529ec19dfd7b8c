"""Serial ports over real unix sockets: every byte, damaged lines, a sink that fails, nobody there."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeClock

from harness.drivers.agent_link import LINE_LIMIT, FramedAgentLink, frame, unframe
from harness.drivers.channels.uart import UartTransport
from harness.drivers.serial.serial_socket import SerialSocket
from harness.model.clock import Deadline
from harness.model.errors import DeadlineExceeded, InfraError, ShellError

WAIT_S = 10.0


class Heard:
    """What arrived; `until` waits for it on the thread of the test."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self._changed = threading.Condition()

    def take(self, item: Any) -> None:
        with self._changed:
            self.items.append(item)
            self._changed.notify_all()

    def until(self, ready: Callable[[list[Any]], bool]) -> list[Any]:
        with self._changed:
            assert self._changed.wait_for(lambda: ready(self.items), WAIT_S), self.items
            return list(self.items)


def guest(path: Path) -> socket.socket:
    end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    end.settimeout(WAIT_S)
    end.connect(str(path))
    return end


class Uart:
    """A link, and the guest's end of it, on which `answer` plays the agent."""

    def __init__(self, folder: Path) -> None:
        self.heard = Heard()
        self.link = FramedAgentLink("c1", self.heard.take, partial(UartTransport, folder / "uart", None))
        self.guest = guest(folder / "uart")

    def say(self, *records: dict[str, Any]) -> None:
        self.guest.sendall(b"".join(frame(record) for record in records))

    def synchronize(self) -> None:
        """Until the link has read all that was said, and its wire knows its peer."""
        self.say({"mark": True})
        self.heard.until(lambda items: {"mark": True} in items)

    def answer(self, *answers: dict[str, Any]) -> threading.Thread:
        """Wait for one order, then say the answers with its number, unless they have one."""

        def play() -> None:
            order = unframe(self.guest.makefile("rb").readline())
            self.say(*({"id": order["id"], **answer} for answer in answers))

        thread = threading.Thread(target=play)
        thread.start()
        return thread

    def close(self) -> None:
        self.guest.close()
        self.link.close()


@pytest.fixture
def uart(tmp_path: Path) -> Iterator[Uart]:
    made = Uart(tmp_path)
    made.synchronize()
    yield made
    made.close()


def test_every_byte_arrives_from_the_first_on(tmp_path: Path) -> None:
    heard = Heard()
    wire = SerialSocket(tmp_path / "con", heard.take)
    end = guest(tmp_path / "con")
    end.sendall(b"Linux version 6.1\r\n\x00\xff")
    heard.until(lambda items: b"".join(items) == b"Linux version 6.1\r\n\x00\xff")
    wire.send(b"t")
    assert end.recv(10) == b"t"
    wire.close()
    wire.close()
    assert end.recv(10) == b"" and not (tmp_path / "con").exists()
    end.close()


def test_nobody_there_and_a_guest_that_left(tmp_path: Path) -> None:
    wire = SerialSocket(tmp_path / "con", lambda data: None)
    with pytest.raises(InfraError, match="no guest on this wire"):
        wire.send(b"x")
    wire.close()
    with pytest.raises(InfraError, match="cannot listen"):
        SerialSocket(tmp_path / ("x" * 150), lambda data: None)


def test_a_sink_that_fails_is_noted_and_the_port_read_on(tmp_path: Path) -> None:
    heard = Heard()

    def sink(data: bytes) -> None:
        heard.take(data)
        raise RuntimeError(data.decode())

    wire = SerialSocket(tmp_path / "con", sink)
    end = guest(tmp_path / "con")
    end.sendall(b"first")
    heard.until(lambda items: len(items) == 1)
    end.sendall(b"second")
    heard.until(lambda items: len(items) == 2)
    end.close()
    wire.close()
    assert str(wire.error) == "first"


def test_damaged_lines_are_counted_and_the_others_heard(uart: Uart) -> None:
    good = frame({"b": 1})
    damaged = [good[:5] + b"#" + good[6:], good[:-4] + b"\n", b"\xff\xfe\n", b"[1]*%s\n" % b"00000000", b"*\n"]
    uart.guest.sendall(b"\n" + damaged[0] + b"\r\n" + b"".join(damaged[1:]) + good)
    items = uart.heard.until(lambda items: {"b": 1} in items)
    assert items == [{"mark": True}, {"b": 1}] and uart.link.damaged == len(damaged)


def test_a_line_that_comes_in_pieces(uart: Uart) -> None:
    line = frame({"b": 2, "text": "ü"})
    for place in range(len(line)):
        uart.guest.sendall(line[place : place + 1])
    uart.heard.until(lambda items: {"b": 2, "text": "ü"} in items)
    assert uart.link.damaged == 0


def test_a_line_without_end_is_not_kept(uart: Uart) -> None:
    for _ in range(4):
        uart.guest.sendall(b"x" * LINE_LIMIT)
    uart.guest.sendall(b"\n")
    uart.say({"b": 3})
    uart.heard.until(lambda items: {"b": 3} in items)
    assert uart.link.damaged == 1


def test_an_answer_in_pieces(uart: Uart) -> None:
    stale = {"id": 999, "ok": True, "at": 0, "out": "stale", "more": False}
    pieces = [
        {"ok": True, "at": 0, "out": "one ", "more": True},
        stale,
        {"ok": True, "at": 4, "out": "two", "more": False},
    ]
    playing = uart.answer(*pieces)
    assert uart.link.ask("read", path="/proc/swaps", deadline=Deadline.after(WAIT_S)) == "one two"
    playing.join()


def test_an_order_that_the_agent_refuses(uart: Uart) -> None:
    playing = uart.answer({"ok": False, "at": 0, "out": "OSError: no such device", "more": False})
    with pytest.raises(ShellError, match="no such device"):
        uart.link.ask("storage", path="/dev/nbd9", deadline=Deadline.after(WAIT_S))
    playing.join()


def test_no_answer_before_the_deadline_and_one_that_comes_too_late(uart: Uart) -> None:
    with pytest.raises(DeadlineExceeded, match="no answer from the agent"):
        uart.link.ask("ping", deadline=Deadline.after(0.05))
    with pytest.raises(DeadlineExceeded):
        uart.link.ask("ping", deadline=Deadline(0.0, FakeClock()))
    uart.say({"id": 1, "ok": True, "at": 0, "out": "late", "more": False})
    reader = uart.guest.makefile("rb")
    assert [unframe(reader.readline())["id"] for _ in range(2)] == [1, 2]
    playing = uart.answer({"ok": True, "at": 0, "out": "in time", "more": False})
    assert uart.link.ask("ping", deadline=Deadline.after(WAIT_S)) == "in time"
    playing.join()


def test_nobody_on_the_uart(tmp_path: Path) -> None:
    link = FramedAgentLink("c1", lambda record: None, partial(UartTransport, tmp_path / "uart", None))
    with pytest.raises(ShellError, match="no guest"):
        link.ask("ping", deadline=Deadline.after(WAIT_S))
    link.close()


def test_a_listener_that_fails_is_noted(tmp_path: Path) -> None:
    heard = Heard()

    def listen(record: dict[str, Any]) -> None:
        heard.take(record)
        raise ValueError("no disk")

    link = FramedAgentLink("c1", listen, partial(UartTransport, tmp_path / "uart", None))
    end = guest(tmp_path / "uart")
    end.sendall(frame({"b": 1}))
    heard.until(bool)
    end.sendall(frame({"b": 2}))
    heard.until(lambda items: len(items) == 2)
    end.close()
    link.close()
    assert str(link.error) == "no disk"
