"""The real agent, as a process of this machine, over each channel of a host that is no guest.

What it would reboot the machine with is a file here.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from harness.agent import agent
from harness.drivers.agent_link import AgentChannel, FramedAgentLink
from harness.drivers.channels.console import ConsoleTransport
from harness.drivers.channels.ssh import SshTransport
from harness.drivers.channels.udp import UdpTransport
from harness.model.clock import Deadline
from harness.model.errors import DeadlineExceeded, InfraError, ShellError

WAIT_S = 30.0
TOKEN = "b0a7"
# Without real-time priority, without locking memory, and with a file instead of the kernel's sysrq.
START = """
import os, sys
sys.path.insert(0, sys.argv.pop(1))
import agent
agent.SYSRQ = sys.argv.pop(1)
agent.ECHO_PORT = 0
agent.LEASH_PAUSE_S = 0.1
agent.protect = lambda: None
os.sched_setscheduler = lambda *_: None
agent.main()
"""


def until(ready: Callable[[], Any]) -> None:
    deadline = Deadline.after(WAIT_S)
    while not ready():
        assert not deadline.passed, "this did not happen"
        time.sleep(0.02)


class Host:
    """A folder for an agent, and its process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sysrq, self.pid_file = folder / "sysrq", folder / "pid"
        self.sysrq.touch()
        self.records: list[dict[str, Any]] = []
        self.process: subprocess.Popen[bytes] | None = None
        self.link: FramedAgentLink | None = None

    def start(self, config: dict[str, Any], stdin: int | None = None, stdout: int | None = None) -> None:
        config = {"disk": None, "pid_file": str(self.pid_file), **config}
        (self.folder / "agent.json").write_text(json.dumps(config))
        words = [str(Path(agent.__file__).parent), str(self.sysrq), str(self.folder / "agent.json")]
        with (self.folder / "printed").open("w") as printed:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", START, *words],
                stdin=subprocess.DEVNULL if stdin is None else stdin,
                stdout=printed if stdout is None else stdout,
                stderr=printed,
            )

    def connect(self, open_channel: Callable[[Callable[[bytes], None]], AgentChannel]) -> FramedAgentLink:
        self.link = FramedAgentLink("c1", self.records.append, open_channel)
        return self.link

    def beats(self) -> int:
        return sum("b" in record for record in self.records)

    def ended(self) -> bool:
        assert self.process is not None
        return self.process.poll() is not None

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        if self.link is not None:
            self.link.close()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    yield made
    made.close()


class Relay:
    """Passes datagrams on both ways; `fate` says how often each goes on."""

    def __init__(self, target: int, fate: Callable[[int], int]) -> None:
        self._inside = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._inside.bind(("127.0.0.1", 0))
        self._outside = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._outside.bind(("127.0.0.1", 0))
        self.port: int = self._inside.getsockname()[1]
        self._agent: Any = None
        self._target = ("127.0.0.1", target)
        self._fate, self.counts = fate, {"in": 0, "out": 0}
        self._open = True
        for end in (self._inside, self._outside):
            end.settimeout(0.1)
        self._threads = [threading.Thread(target=work) for work in (self._records, self._orders)]
        for thread in self._threads:
            thread.start()

    def _records(self) -> None:
        while self._open:
            with contextlib.suppress(OSError):
                data, self._agent = self._inside.recvfrom(65536)
                for _ in range(self._take("in")):
                    self._outside.sendto(data, self._target)

    def _orders(self) -> None:
        while self._open:
            with contextlib.suppress(OSError):
                data, _ = self._outside.recvfrom(65536)
                for _ in range(self._take("out")):
                    self._inside.sendto(data, self._agent)

    def _take(self, way: str) -> int:
        self.counts[way] += 1
        return self._fate(self.counts[way])

    def close(self) -> None:
        self._open = False
        for thread in self._threads:
            thread.join()
        self._inside.close()
        self._outside.close()


def udp(host: Host) -> tuple[FramedAgentLink, UdpTransport]:
    link = host.connect(partial(UdpTransport, 0, TOKEN, address="127.0.0.1"))
    assert isinstance(link.transport, UdpTransport)
    return link, link.transport


def test_over_udp_from_hello_to_quit(host: Host) -> None:
    link, transport = udp(host)
    host.start({"udp": ["127.0.0.1", transport.port], "token": TOKEN})
    facts = json.loads(link.ask("hello", deadline=Deadline.after(WAIT_S)))
    assert facts["kernel"] == os.uname().release and "watchdog" not in facts
    until(lambda: host.beats() >= 2)
    beat = next(record for record in host.records if "b" in record)
    assert "disk" not in beat["p"] or beat["p"]["disk"] is None
    with pytest.raises(ShellError, match="No such file"):
        link.ask("read", path="/none", deadline=Deadline.after(WAIT_S))
    link.ask("quit", deadline=Deadline.after(WAIT_S))
    until(host.ended)
    assert not host.pid_file.exists() and host.process is not None and host.process.returncode == 0
    assert host.sysrq.read_text() == "" and not transport.silence_is_proof


@pytest.mark.parametrize("fate", [lambda n: 0 if n % 3 == 0 else 1, lambda n: 2], ids=["every third lost", "all twice"])
def test_datagrams_that_are_lost_or_come_twice(host: Host, tmp_path: Path, fate: Callable[[int], int]) -> None:
    link, transport = udp(host)
    relay = Relay(transport.port, fate)
    try:
        host.start({"udp": ["127.0.0.1", relay.port], "token": TOKEN})
        text = "".join(f"line {number}\n" for number in range(400))  # ten pieces
        (tmp_path / "long").write_text(text)
        for _ in range(3):
            assert link.ask("read", path=str(tmp_path / "long"), deadline=Deadline.after(WAIT_S)) == text
        for _ in range(4):
            link.ask("sysrq", key="h", deadline=Deadline.after(WAIT_S))
        assert host.sysrq.read_text() == "hhhh", "no order was done twice"
        assert link.damaged == 0
    finally:
        relay.close()


def test_strangers_and_garbage_are_ignored(host: Host) -> None:
    link, transport = udp(host)
    relay = Relay(transport.port, lambda n: 1)
    stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        host.start({"udp": ["127.0.0.1", relay.port], "token": TOKEN})
        link.ask("ping", deadline=Deadline.after(WAIT_S))
        peer = transport.peer
        other = agent.Udp(["127.0.0.1", transport.port], "another token")
        other.write(agent.frame({"b": 10**6}))
        record = agent.frame({"b": 10**6})
        for data in (b"", b"\xff" * 100, record, b"0" * 32 + b" " + record):
            stranger.sendto(data, ("127.0.0.1", transport.port))
        until(lambda: transport.refused == 5)
        assert transport.peer == peer and all(record.get("b") != 10**6 for record in host.records)
        order = agent.frame({"id": 2**60, "do": "sysrq", "key": "b"})
        forged = other.mac(b"order ", order)
        # As if from the controller's own address: the relay sends them.
        for data in (order, b"0" * 32 + b" " + order, forged + b" " + order, b"\x00\xff"):
            relay._inside.sendto(data, relay._agent)
        link.ask("ping", deadline=Deadline.after(WAIT_S))
        assert host.sysrq.read_text() == "" and transport.peer == peer
        other.socket.close()
    finally:
        stranger.close()
        relay.close()


def test_a_record_that_is_sent_back_is_no_order() -> None:
    one = agent.Udp(["127.0.0.1", 9], TOKEN)
    line = agent.frame({"id": 1, "do": "ping"})
    assert one.mac(b"order ", line) != one.mac(b"record ", line)
    one.socket.close()


def test_an_old_order_that_is_played_again() -> None:
    one = agent.Udp(["127.0.0.1", 9], TOKEN)
    numbers = [*range(1000, 1000 + 2 * agent.ORDERS_KNOWN), 1000, 1000 + agent.ORDERS_KNOWN, 5000]
    fresh = [one.is_new(agent.frame({"id": number, "do": "ping"})) for number in numbers]
    assert fresh[-3:] == [False, False, True] and all(fresh[:-3])
    assert len(one.known) <= agent.ORDERS_KNOWN
    one.socket.close()


def test_udp_without_token_or_on_a_taken_port() -> None:
    with pytest.raises(InfraError, match="token"):
        UdpTransport(0, "", lambda data: None)
    first = UdpTransport(0, TOKEN, lambda data: None, address="127.0.0.1")
    with pytest.raises(InfraError, match=r"cannot listen on UDP 127\.0\.0\.1:"):
        UdpTransport(first.port, TOKEN, lambda data: None, address="127.0.0.1")
    assert not first.send(b"{}", deadline=Deadline.after(0.1)), "no agent has been heard"
    first.close()


class Pipes:
    """The far end of an agent's standard input and output, as an SSH channel shows it."""

    def __init__(self) -> None:
        self._end, self.agent_end = socket.socketpair()

    def settimeout(self, timeout: float | None) -> None:
        self._end.settimeout(timeout)

    def recv(self, nbytes: int) -> bytes:
        return self._end.recv(nbytes)

    def send(self, data: bytes) -> int:
        return self._end.send(data)

    def close(self) -> None:
        self._end.close()


def start_on_stdio(host: Host, config: dict[str, Any]) -> FramedAgentLink:
    pipes = Pipes()
    link = host.connect(partial(SshTransport, pipes))
    host.start({"stdio": True, **config}, pipes.agent_end.fileno(), pipes.agent_end.fileno())
    pipes.agent_end.close()
    return link


def test_over_standard_input_and_output(host: Host) -> None:
    link = start_on_stdio(host, {})
    until(lambda: host.beats() >= 2)
    assert "hello" in host.records[0]
    assert link.ask("read", path="/proc/self/comm", deadline=Deadline.after(WAIT_S)).strip()
    link.ask("quit", deadline=Deadline.after(WAIT_S))
    until(host.ended)
    assert link.damaged == 0, "nothing else is printed there"
    transport = link.transport
    assert isinstance(transport, SshTransport)
    until(lambda: transport.ended)
    with pytest.raises(ShellError, match="has ended"):
        link.ask("ping", deadline=Deadline.after(WAIT_S))


def test_when_the_controller_dies_the_agent_goes_on_until_its_leash_ends(host: Host) -> None:
    link = start_on_stdio(host, {"leash_s": 300})
    link.ask("leash", seconds=3, deadline=Deadline.after(WAIT_S))
    link.transport.close()
    time.sleep(1.0)
    assert not host.ended() and host.sysrq.read_text() == ""
    assert host.process is not None
    # The main loop does not spin on an input that has ended.
    began = cpu_seconds(host.process.pid)
    time.sleep(1.0)
    assert cpu_seconds(host.process.pid) - began < 0.7
    until(lambda: host.sysrq.read_text().startswith("sub"))


def cpu_seconds(pid: int) -> float:
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def test_a_leash_that_is_renewed_or_taken_off_reboots_nothing(host: Host) -> None:
    link = start_on_stdio(host, {"leash_s": 5})
    link.ask("leash", seconds=2, deadline=Deadline.after(WAIT_S))
    for _ in range(4):
        time.sleep(1.0)
        link.ask("leash", seconds=4, deadline=Deadline.after(WAIT_S))
    link.ask("leash", seconds=None, deadline=Deadline.after(WAIT_S))
    time.sleep(5.0)
    assert host.sysrq.read_text() == ""
    with pytest.raises(ShellError, match="ValueError"):
        link.ask("leash", seconds="soon", deadline=Deadline.after(WAIT_S))


def test_a_watchdog_that_is_not_there_is_told_and_the_agent_runs(host: Host) -> None:
    link = start_on_stdio(host, {"watchdog": {"device": "/dev/watchdog77", "timeout_s": 60}})
    facts = json.loads(link.ask("hello", deadline=Deadline.after(WAIT_S)))
    assert facts["watchdog"] is None and facts["watchdog_error"] == "/dev/watchdog77: No such file or directory"


class PtyStream:
    """A pseudo terminal as the stream of a console server."""

    def __init__(self, sink: Callable[[bytes], None]) -> None:
        self._near, self._far = pty.openpty()
        self.path = os.ttyname(self._far)
        self.error: Exception | None = None
        self.broken = ""
        self._sink = sink
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while data := os.read(self._near, 4096):
                self._sink(data)

    def send(self, data: bytes) -> None:
        os.write(self._near, data)

    def close(self) -> None:
        os.close(self._far)
        self._thread.join(timeout=2.0)


def test_over_a_serial_port_that_a_console_server_carries(host: Host) -> None:
    streams: list[PtyStream] = []

    def open_stream(sink: Callable[[bytes], None]) -> PtyStream:
        streams.append(PtyStream(sink))
        return streams[0]

    link = host.connect(partial(ConsoleTransport, open_stream))
    host.start({"uart": streams[0].path})
    until(lambda: host.beats() >= 2)
    assert link.ask("calibrate", deadline=Deadline.after(WAIT_S))
    proofs = [link.transport.silence_is_proof]
    streams[0].broken = "the server went away"
    proofs.append(link.transport.silence_is_proof)
    assert proofs == [True, False]
    link.ask("quit", deadline=Deadline.after(WAIT_S))
    until(host.ended)


def test_an_order_over_udp_that_is_never_answered(host: Host) -> None:
    link, transport = udp(host)
    other = agent.Udp(["127.0.0.1", transport.port], TOKEN)
    other.write(agent.frame({"b": 1}))
    with pytest.raises(DeadlineExceeded, match="no answer from the agent"):
        link.ask("ping", deadline=Deadline.after(2.5))
    orders = []
    with contextlib.suppress(BlockingIOError):
        while data := other.socket.recv(65536):
            orders.append(data)
    assert len(orders) == 3 and len(set(orders)) == 1, "it was sent again each second"
    other.socket.close()
