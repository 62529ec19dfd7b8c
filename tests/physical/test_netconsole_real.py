"""netconsole, sent by the kernel of a host: what it prints arrives in order and whole, and what does not is counted."""

from __future__ import annotations

import os
import re
import secrets
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from harness.drivers.consoles import netconsole, open_console
from harness.drivers.consoles.base import Stream
from harness.drivers.ssh import FabricShell
from harness.model.clock import Deadline
from harness.model.errors import UsageError
from harness.model.owned_host import ConsoleSpec
from harness.physical.proof import prove_console
from tests.testbed.chassis import Chassis
from tests.testbed.places import DOUBLES
from tests.testbed.rack import hosts, shell

HOSTS = {} if "HARNESS_PHYSICAL" in os.environ else hosts()
RUNS = [one.name for one in reversed(DOUBLES) if one.name in HOSTS and Chassis(one).pid]
NAME = RUNS[0] if RUNS else ""
pytestmark = [
    pytest.mark.physical,
    pytest.mark.skipif(not RUNS, reason="needs a host of the test bed, whose network is known"),
]
HERE, SEEN_AS = "10.0.2.2", "127.0.0.1"  # QEMU's network of one host: this machine as the host sees it, and back
LOAD = """\
modprobe -r netconsole 2>/dev/null
set -- $(ip -o route get {here})
mac=$(ip neigh show {here} dev $3 | sed 's/.*lladdr \\([^ ]*\\).*/\\1/')
modprobe netconsole netconsole=+6665@$5/$3,{port}@{here}/$mac"""
LINES = "/dev/shm/harness-netconsole"
PRINT = f"while IFS= read -r line; do printf '%s\\n' \"$line\"; done <{LINES} >/dev/kmsg"
MARK = re.compile(rb"\[harness: (\d+) records of netconsole lost or not printed here\]")
STAMP = re.compile(rb"\[ *\d+\.\d{6}\] ")
SMALL = 65536  # bytes of datagrams that wait
BURST = 2000


@dataclass
class Kernel:
    """A host whose kernel sends to `port` of this machine; `hold` is what keeps the console from being read."""

    login: FabricShell
    port: int
    heard: bytearray = field(default_factory=bytearray)
    through: threading.Event = field(default_factory=threading.Event)
    streams: list[Stream] = field(default_factory=list)

    def run(self, command: str, *values: object) -> str:
        return self.login.run(command, *values, deadline=Deadline.after(120.0)).stdout.strip()

    def listen(self, sender: str = SEEN_AS) -> ConsoleSpec:
        spec = ConsoleSpec(driver="netconsole", port=self.port, address=sender)
        self.streams.append(open_console(spec, NAME, None, self._hear, deadline=Deadline.after(5.0)))
        return spec

    def _hear(self, data: bytes) -> None:
        self.through.wait()
        self.heard.extend(data)

    def load(self) -> None:
        self.run(LOAD.format(here=HERE, port=self.port))

    def prints(self, *texts: str) -> None:
        """Each text is a record, printed by the kernel."""
        self.login.put("".join(f"{one}\n" for one in texts).encode(), LINES, deadline=Deadline.after(60.0))
        self.run(PRINT)

    def between(self) -> Between:
        return Between(self)


@dataclass
class Between:
    """What is heard between two records, and how many records the kernel has between them."""

    kernel: Kernel
    begin: str = field(default_factory=lambda: f"begin {secrets.token_hex(8)}")
    end: str = field(default_factory=lambda: f"end {secrets.token_hex(8)}")
    records: int = 0
    heard: list[bytes] = field(default_factory=list)

    def __enter__(self) -> Between:
        first = self._print(self.begin)
        self.records = -first
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.records += self._print(self.end) - 1
            text = bytes(self.kernel.heard)
            lines = text[text.index(self.begin.encode()) : text.index(self.end.encode())].splitlines()
            self.heard = lines[1:-1]  # without the two themselves

    def _print(self, text: str) -> int:
        """Print an alert, until it is heard; returns its number in the kernel's log."""
        self.kernel.prints(f"<1>{text}")
        deadline = Deadline.after(30.0)
        while text.encode() not in self.kernel.heard:
            assert not deadline.passed, bytes(self.kernel.heard[-500:])
            deadline.clock.sleep(0.1)
        found = self.kernel.run("dd if=/dev/kmsg iflag=nonblock bs=8192 2>/dev/null | grep -a -F %s | tail -n 1", text)
        return int(found.split(",")[1])

    @property
    def missing(self) -> int:
        return sum(int(found[1]) for line in self.heard if (found := MARK.match(line)) is not None)

    @property
    def messages(self) -> list[bytes]:
        return [STAMP.sub(b"", line, count=1) for line in self.heard if not MARK.match(line)]


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    monkeypatch.setattr(netconsole, "BUFFER", SMALL)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("", 0))
        port = probe.getsockname()[1]
    made = Kernel(shell(NAME, HOSTS[NAME]), port)
    made.through.set()
    level = made.run("cut -f1 /proc/sys/kernel/printk")
    try:
        made.run("echo 8 >/proc/sys/kernel/printk")  # as during a trial
        yield made
    finally:
        made.through.set()
        for stream in made.streams:
            stream.close()
        try:
            made.run("modprobe -r netconsole; rm -f %s; echo %s >/proc/sys/kernel/printk", LINES, level)
            assert made.run("lsmod | grep -c ^netconsole || :") == "0"
        finally:
            made.login.close()


def test_all_that_is_printed_arrives_as_it_was(kernel: Kernel) -> None:
    """Long records are fragments, and those of other characters are longer still: 940 backslashes are sent as 3760."""
    kernel.listen()
    kernel.load()
    texts = [f"line {number} " + "x" * (number * 3) for number in range(300)]
    texts += ["rcu: \t1-...!: (1 GPs behind)", "ä€\\x41 \\ end", *(f"{one} " + one * 940 for one in "\\xz")]
    with kernel.between() as found:
        kernel.prints(*texts)
        kernel.run("printf 'two\\nlines\\n' >/dev/kmsg")
    assert found.missing == 0
    ours = [line for line in found.messages if line.decode() in {*texts, "two", "lines"}]
    assert ours == [one.encode() for one in (*texts, "two", "lines")]
    assert len(found.messages) == found.records + 1  # that of two lines


def test_what_overruns_is_counted_where_it_is_missing(kernel: Kernel) -> None:
    kernel.listen()
    kernel.load()
    with kernel.between() as found:
        kernel.through.clear()
        kernel.prints(*(f"burst {number}" for number in range(BURST)))
        kernel.through.set()
    ours = [int(line.split()[1]) for line in found.messages if line.startswith(b"burst ")]
    print(f"{BURST} lines printed, {len(ours)} heard, {found.missing} records counted as missing")
    assert ours == sorted(set(ours)) and 0 < len(ours) < BURST
    assert found.missing >= BURST - len(ours)
    assert len(found.messages) + found.missing == found.records


def test_what_the_level_keeps_back_is_counted_too(kernel: Kernel) -> None:
    kernel.listen()
    kernel.load()
    with kernel.between() as found:
        kernel.run("echo 4 >/proc/sys/kernel/printk")
        kernel.prints(*(f"<{level}>level {level}" for level in (6, 3, 6, 7, 2)))
    assert [line for line in found.messages if line.startswith(b"level ")] == [b"level 3", b"level 2"]
    assert found.missing >= 3 and len(found.messages) + found.missing == found.records


def test_it_proves_whose_console_it_is(kernel: Kernel) -> None:
    spec = kernel.listen()
    kernel.load()
    kernel.run("echo 4 >/proc/sys/kernel/printk")  # it is proven before the level is raised
    prove_console(NAME, kernel.login, spec, lambda: bytes(kernel.heard), Deadline.after(60.0))


def test_of_another_sender_it_proves_nothing(kernel: Kernel) -> None:
    spec = kernel.listen("127.0.0.2")
    kernel.load()
    with pytest.raises(
        UsageError, match=f"host {NAME}: what its kernel prints does not arrive on its netconsole console"
    ):
        prove_console(NAME, kernel.login, spec, lambda: bytes(kernel.heard), Deadline.after(10.0))
    assert not kernel.heard
