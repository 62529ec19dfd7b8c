"""Consoles against real servers, which are killed, frozen and flooded: serial over LAN, telnet, RFC 2217, conserver."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from harness.drivers.bmc.ipmi import arguments
from harness.drivers.consoles import Stream, open_console
from harness.model.clock import Deadline
from harness.model.errors import HarnessError, InfraError
from harness.model.owned_host import ConsoleSpec, PowerSpec, Secret
from tests.testbed import own_servers
from tests.testbed.own_servers import ADDRESS, NAME, Line, OwnServer
from tests.testbed.places import BMC_PASSWORD, BMC_USER, folder

pytestmark = pytest.mark.physical
# ipmitool gives a BMC that is gone 96 s; a console server's end is seen at once.
NOTICE_S = {"ipmi-sol": 150.0, "telnet": 10.0, "rfc2217": 15.0, "conserver": 10.0}
FLOOD_S, PER_S = 5, 100_000


@dataclass
class Rack:
    """A serial line, the server of a console, and what is heard on it."""

    spec: ConsoleSpec
    power: PowerSpec | None
    line: Line
    server: OwnServer
    heard: bytearray = field(default_factory=bytearray)
    streams: list[Stream] = field(default_factory=list)

    def open(self, seconds: float = 25.0) -> Stream:
        deadline = Deadline.after(seconds)
        self.streams.append(open_console(self.spec, "ib1", self.power, self.heard.extend, deadline=deadline))
        return self.streams[-1]

    def says(self, within_s: float = 20.0) -> None:
        """What the line prints is heard."""
        end = time.monotonic() + within_s
        nonce = uuid.uuid4().hex.encode()
        while nonce not in self.heard:
            assert time.monotonic() < end, bytes(self.heard[-300:])
            self.line.say(nonce + b"\r\n")
            time.sleep(0.2)


@pytest.fixture(params=[*NOTICE_S])
def rack(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rack]:
    monkeypatch.setenv("OF_BMC", BMC_PASSWORD)
    monkeypatch.setenv("NOT_OF_BMC", "another-secret")
    line, line_port, port = Line(), own_servers.free_port(), own_servers.free_port()
    wire = own_servers.ser2net(tmp_path / "wire", line, line_port)
    spec = ConsoleSpec(driver=request.param, address=ADDRESS, port=line_port, console=NAME)
    power: PowerSpec | None = None
    server = wire
    if request.param == "conserver":
        server, spec = own_servers.conserver(tmp_path / "server", line_port, port), replace(spec, port=port)
    elif request.param == "ipmi-sol":
        port = own_servers.free_port(socket.SOCK_DGRAM)
        server = own_servers.bmc(tmp_path / "server", line_port, port)
        password = Secret(kind="env", name="OF_BMC")
        power = PowerSpec(driver="ipmi", address=ADDRESS, port=port, user=BMC_USER, password=password)
    rack = Rack(spec, power, line, server)
    try:
        wire.start()
        if server is not wire:
            server.start()
        yield rack
    finally:
        with suppress(AssertionError):
            server.signal(signal.SIGCONT)
        for stream in rack.streams:
            stream.close()
        server.kill()
        wire.kill()
        line.close()


def until(true: Callable[[], object], within_s: float, what: str) -> float:
    start = time.monotonic()
    while not true():
        assert time.monotonic() < start + within_s, f"{what} did not happen"
        time.sleep(0.05)
    return time.monotonic() - start


def clients() -> list[str]:
    """The processes of this one that show a console."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        pids: list[str] = []
        with suppress(OSError):  # the thread has ended
            pids = (task / "children").read_text().split()
        for pid in pids:
            with suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes()
                found += [pid] if b"activate" in words or b"/console" in words else []
    return found


def test_what_is_printed_and_typed_arrives(rack: Rack) -> None:
    stream = rack.open()
    assert stream.broken == ""
    rack.says()
    stream.send(b"root\r")
    rack.line.typed(b"root\r")
    rack.says()


def test_a_paced_flood_loses_nothing(rack: Rack) -> None:
    rack.open()
    rack.says()
    lines = [b"%08d %s\r\n" % (number, b"x" * 60) for number in range(FLOOD_S * PER_S // 71)]
    rack.line.say(b"".join(lines), PER_S)
    until(lambda: lines[-1].strip() in rack.heard, 20, "the last line")
    arrived = re.findall(rb"(\d{8}) x{60}\r", bytes(rack.heard))
    assert arrived == [line[:8] for line in lines]


def test_a_server_that_is_killed_is_noticed_and_heard_again(rack: Rack) -> None:
    stream = rack.open()
    rack.says()
    rack.server.kill()
    until(lambda: stream.broken, NOTICE_S[rack.spec.driver], "the break")
    assert "ib1" in stream.broken and "\n" not in stream.broken
    with pytest.raises(InfraError):
        stream.send(b"x")
    rack.server.start()
    until(lambda: not stream.broken, 60, "a new connection")
    rack.says(60)


def test_a_server_that_is_dead_is_an_error_in_one_line(rack: Rack) -> None:
    rack.server.kill()
    start = time.monotonic()
    with pytest.raises(HarnessError) as caught:
        rack.open(8)
    assert time.monotonic() - start < 12
    assert "\n" not in str(caught.value) and "ib1" in str(caught.value)
    assert re.search("does not answer|refused|Unable to connect", str(caught.value))
    assert not clients()


def test_a_server_that_is_frozen_is_an_error_or_silent(rack: Rack) -> None:
    rack.server.signal(signal.SIGSTOP)
    start = time.monotonic()
    if rack.spec.driver == "telnet":  # its kernel accepts: silence proves nothing
        stream = rack.open(8)
        rack.line.say(b"while it hung\r\n")
        time.sleep(1)
        assert not rack.heard and not stream.broken
        rack.server.signal(signal.SIGCONT)
        until(lambda: b"while it hung" in rack.heard, 10, "what was printed meanwhile")
        return
    with pytest.raises(HarnessError) as caught:
        rack.open(8)
    assert time.monotonic() - start < 25
    assert "\n" not in str(caught.value)
    assert not clients()
    rack.server.signal(signal.SIGCONT)
    until(lambda: opens(rack), 60, "an answer")
    rack.says()


def opens(rack: Rack) -> bool:
    try:
        rack.open()
    except HarnessError:
        time.sleep(0.5)
        return False
    return True


def test_a_session_that_freezes_loses_nothing_and_can_be_closed(rack: Rack) -> None:
    stream = rack.open()
    rack.says()
    rack.server.signal(signal.SIGSTOP)
    rack.line.say(b"printed meanwhile\r\n")
    time.sleep(1)
    rack.server.signal(signal.SIGCONT)
    until(lambda: b"printed meanwhile" in rack.heard, 20, "what was printed meanwhile")
    rack.server.signal(signal.SIGSTOP)
    threads, start = threading.active_count(), time.monotonic()
    stream.close()
    assert time.monotonic() - start < 20
    until(lambda: threading.active_count() < threads, 10, "the end of its thread")
    assert not clients()


@pytest.mark.parametrize("rack", ["ipmi-sol"], indirect=True)
class TestSerialOverLan:
    """What only a BMC does."""

    @pytest.mark.parametrize("change", [{"password": Secret(kind="env", name="NOT_OF_BMC")}, {"user": "nobody"}])
    def test_a_login_that_is_refused_says_so(self, rack: Rack, change: dict[str, object]) -> None:
        assert rack.power is not None
        rack.power = replace(rack.power, **change)  # type: ignore[arg-type]
        start = time.monotonic()
        with pytest.raises(InfraError) as caught:
            rack.open()
        assert str(caught.value) == f"the BMC of ib1 at {ADDRESS} refuses the user or password"
        assert time.monotonic() - start < 5

    def test_a_cipher_that_is_refused_is_named(self, rack: Rack) -> None:
        assert rack.power is not None
        rack.power = replace(rack.power, cipher=17)
        with pytest.raises(InfraError, match="refuses cipher suite 17; name another, such as 3"):
            rack.open()

    def test_the_session_of_somebody_else_is_left_alone(self, rack: Rack) -> None:
        rack.open()
        with pytest.raises(InfraError, match="has a console session of somebody else; end it there"):
            rack.open()
        rack.says()
        rack.streams[0].close()
        rack.open()
        rack.says()

    def test_a_session_that_is_dropped_is_opened_again_at_the_next_input(self, rack: Rack) -> None:
        # ipmitool notices it by nothing else: silence proves nothing.
        stream = rack.open()
        rack.says()
        assert rack.power is not None
        subprocess.run(
            [*arguments(rack.power), "sol", "deactivate"],
            env={"PATH": str(folder() / "bin"), "IPMI_PASSWORD": BMC_PASSWORD},
            check=True,
            capture_output=True,
        )
        stream.send(b"\r")
        until(lambda: stream.broken, 30, "the break")
        until(lambda: not stream.broken, 60, "a new connection")
        rack.says(60)


@pytest.mark.parametrize("rack", ["conserver"], indirect=True)
class TestConserver:
    """What only conserver does."""

    @pytest.mark.parametrize(("name", "reason"), [("dead", "console is down"), ("nowhere", "not found")])
    def test_a_console_that_it_does_not_show_is_refused(self, rack: Rack, name: str, reason: str) -> None:
        rack.spec = replace(rack.spec, console=name)
        with pytest.raises(InfraError, match=reason):
            rack.open()
        assert not clients()

    def test_a_password_that_it_asks_for_is_told(self, rack: Rack, tmp_path: Path) -> None:
        port = own_servers.free_port()
        asks = own_servers.conserver(tmp_path / "asks", rack.spec.port or 0, port, trusted="192.0.2.1")
        rack.spec = replace(rack.spec, port=port)
        try:
            asks.start()
            with pytest.raises(InfraError, match="password:"):
                rack.open(3)
        finally:
            asks.kill()
        assert not clients()
