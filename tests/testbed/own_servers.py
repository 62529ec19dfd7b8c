"""Servers of one test's own, to kill and freeze: a serial line, ser2net, conserver, a BMC, and a door to a server."""

from __future__ import annotations

import os
import pty
import select
import signal
import socket
import subprocess
import threading
import time
import tty
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.testbed.image import server_root
from tests.testbed.places import BMC_PASSWORD, BMC_USER
from tests.testbed.servers import COMMANDS, CONSERVER, CONSOLE, LAN, in_root

ADDRESS = "127.0.0.150"
START_S = 10.0
NAME = "line"
CHUNK_S = 0.02


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind((ADDRESS, 0))
        port: int = probe.getsockname()[1]
        return port


class Line:
    """A serial line: its far end is a terminal, on which a server stands."""

    def __init__(self) -> None:
        self.end, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)

    def say(self, text: bytes, per_s: int = 100_000) -> None:
        """Print, at a pace."""
        size = max(1, int(per_s * CHUNK_S))
        start = time.monotonic()
        for number, begin in enumerate(range(0, len(text), size), start=1):
            piece = text[begin : begin + size]
            while piece:
                piece = piece[os.write(self.end, piece) :]
            time.sleep(max(0.0, start + number * CHUNK_S - time.monotonic()))

    def typed(self, text: bytes, within_s: float = 10.0) -> None:
        """Wait until somebody has typed that."""
        heard, end = b"", time.monotonic() + within_s
        while text not in heard:
            assert time.monotonic() < end, heard
            if select.select([self.end], [], [], 0.1)[0]:
                heard += os.read(self.end, 4096)

    def close(self) -> None:
        os.close(self.end)
        os.close(self._slave)


class OwnServer:
    """A process that a test starts, kills, freezes and starts again."""

    def __init__(self, argv: list[str], folder: Path, ready: Callable[[], bool]) -> None:
        self.argv, self.folder, self.ready = argv, folder, ready
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        end = time.monotonic() + START_S
        while not self.ready():
            assert time.monotonic() < end and self._process.poll() is None, (self.folder / "server.log").read_text()
            time.sleep(0.05)

    def kill(self) -> None:
        if self._process is not None:
            self.signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def signal(self, number: int) -> None:
        """To its whole group: conserver has a process for its consoles."""
        assert self._process is not None
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


def listens(port: int) -> bool:
    """Whether a TCP port is open; not by a connection, which would be the one that the line has room for."""
    wanted = f"{socket.inet_aton(ADDRESS)[::-1].hex().upper()}:{port:04X}"
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(row[1] == wanted and row[3] == "0A" for row in rows)


SER2NET = """\
connection: &line
  accepter: telnet(rfc2217),tcp,{address},{port}
  connector: serialdev,{path},115200n81,local
  options:
    max-connections: 1
"""


def ser2net(folder: Path, line: Line, port: int) -> OwnServer:
    """A console server with telnet and RFC 2217."""
    folder.mkdir()
    config = folder / "ser2net.yaml"
    config.write_text(SER2NET.format(address=ADDRESS, port=port, path=line.path))
    plugins = next((server_root() / "usr/libexec/x86_64-linux-gnu/gensio").iterdir())
    argv = ["env", f"GENSIO_LIBRARY_PATH={plugins}", *in_root("usr/sbin/ser2net"), "-d", "-c", str(config)]
    return OwnServer(argv, folder, lambda: listens(port))


def conserver(folder: Path, line_port: int, port: int, trusted: str = "127.0.0.1") -> OwnServer:
    """A conserver with one console, behind a telnet port; it asks those for a password whom it does not trust."""
    folder.mkdir()
    (folder / "passwd").write_text("*any*:*any*\n")
    consoles = CONSOLE.format(name=NAME, host=ADDRESS, port=line_port) + CONSOLE.format(
        name="dead", host=ADDRESS, port=free_port()
    )
    (folder / "cf").write_text(CONSERVER.format(home=folder, address=trusted) + consoles)
    argv = [*in_root("usr/sbin/conserver"), "-C", str(folder / "cf"), "-P", str(folder / "passwd"), "-M", ADDRESS]
    return OwnServer([*argv, "-p", str(port), "-L", str(folder / "log")], folder, lambda: listens(port))


OWN_CHASSIS = """\
#!/bin/sh
[ "$2 $3" = "get power" ] && echo "power:$(cat {state})"
[ "$2 $3" = "set power" ] && echo "$4" >{state}
exit 0
"""


def bmc(folder: Path, line_port: int, port: int) -> OwnServer:
    """A BMC with IPMI and serial over LAN; the power that it switches is a file."""
    folder.mkdir()
    (folder / "power").write_text("1")
    chassis = folder / "chassis"
    chassis.write_text(OWN_CHASSIS.format(state=folder / "power"))
    chassis.chmod(0o755)
    (folder / "cmd.emu").write_text(COMMANDS)
    (folder / "lan.conf").write_text(
        LAN.format(
            name="own",
            address=ADDRESS,
            port=port,
            guid="b0a7ed00000040008000000000000009",
            chassis=chassis,
            console=line_port,
            user=BMC_USER,
            password=BMC_PASSWORD,
        )
    )
    argv = [*in_root("usr/bin/ipmi_sim"), "-n", "-c", str(folder / "lan.conf"), "-f", str(folder / "cmd.emu")]

    def ready() -> bool:
        wanted = f"{socket.inet_aton(ADDRESS)[::-1].hex().upper()}:{port:04X}"
        return any(row.split()[1] == wanted for row in Path("/proc/net/udp").read_text().splitlines()[1:])

    return OwnServer([*argv, "-s", str(folder)], folder, ready)


class Door:
    """A port in front of a TCP server that others use as well: only what comes through here is slowed, held or cut."""

    def __init__(self, address: str, behind: int) -> None:
        self.address, self._behind = address, behind
        self.pause_s, self.cut = 0.0, False
        self.through = threading.Event()
        self.through.set()
        self._pairs: list[socket.socket] = []
        self._listener = socket.create_server((address, 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self.cut:
                near.close()
                continue
            far = socket.create_connection((self.address, self._behind))
            self._pairs += [near, far]
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(source, target), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self.through.wait()
                time.sleep(self.pause_s)
                target.sendall(data)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Nothing listens any more."""
        self.through.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in self._pairs:
            one.close()
