"""Consoles that a program of this machine shows on its terminal: serial over LAN, conserver, a console server's SSH."""

from __future__ import annotations

import os
import pty
import shutil
import signal
import subprocess
import threading
import time
import tty
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from harness.drivers.bmc import ipmi
from harness.drivers.commands import Output, run_command
from harness.drivers.consoles.base import READ_SIZE, Channel, Opening, Stream
from harness.model.clock import Deadline
from harness.model.errors import HarnessError, HostEnvironmentError, InfraError
from harness.model.owned_host import PowerSpec

END_S = 1.0
END_SOL_S = 10.0
PAUSE_S = 0.5  # around an escape; in one write the break overtakes what is before it
SOL_BREAK, CONSERVER_BREAK, SSH_BREAK = "~B", "\x05cl0", "~B"
SOL_BEGUN = b"[SOL Session operational"


class PtyChannel(Channel):
    """A program under a terminal of its own; `escape` is what it takes as a request for a break."""

    def __init__(
        self, argv: Sequence[str], environment: Mapping[str, str], escape: str, end: Callable[[], None]
    ) -> None:
        if shutil.which(argv[0]) is None:
            raise HostEnvironmentError(f"{argv[0]} is not installed", remedy=f"apt install {argv[0]}")
        self._escape, self._end = escape, end
        self._lock = threading.Lock()
        self._master, slave = pty.openpty()
        tty.setraw(slave)
        try:
            # With the terminal as its own (setsid -c), so that it is hung up when this process dies, whatever kills it.
            self._process = subprocess.Popen(
                ["setsid", "-c", *argv],
                stdin=slave,
                stdout=slave,
                stderr=slave,
                env={**os.environ, **environment},
            )
        except OSError as error:
            os.close(self._master)
            raise InfraError(f"cannot run setsid: {error.strerror}; apt install util-linux") from error
        finally:
            os.close(slave)

    def read(self) -> bytes:
        """See `Channel.read`."""
        try:
            return os.read(self._master, READ_SIZE)
        except OSError:
            return b""  # EIO: the program has ended

    def write(self, data: bytes) -> None:
        """See `Channel.write`."""
        with self._lock:
            os.write(self._master, data)

    def send_break(self, key: str) -> None:
        """See `Channel.send_break`."""
        # The escape counts at the beginning of a line only.
        for text in ("\r", self._escape, key):
            self.write(text.encode())
            time.sleep(PAUSE_S)

    def close(self) -> None:
        """See `Channel.close`."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(END_S)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()  # if it has no group of its own yet
        self._process.wait()
        self._end()
        with suppress(OSError):
            os.close(self._master)


def _nothing() -> None:
    pass


def open_sol(opening: Opening) -> Stream:
    """Open serial over LAN. A BMC has one session; somebody else's is left alone."""
    power = opening.power
    assert power is not None, "checked with the inventory"
    begun: list[bool] = []

    def connect(deadline: Deadline) -> Channel:
        if begun:
            end_sol(power)  # the session that broke is ours, and may still count
        secret = ipmi.environment(power, deadline)
        argv = [*ipmi.arguments(power), "sol", "activate"]
        channel = PtyChannel(argv, secret, SOL_BREAK, lambda: end_sol(power) if begun else None)
        try:
            first = _begin_sol(channel, power, opening.host, deadline)
        except BaseException:
            channel.close()
            raise
        begun.append(True)
        return Begun(channel, first)

    return Stream("SOL", opening, connect)


def end_sol(power: PowerSpec) -> None:
    """End the session of a BMC, whoever has it; never raises."""
    deadline = Deadline.after(END_SOL_S)
    with suppress(HarnessError):
        argv = [*ipmi.arguments(power), "sol", "deactivate"]
        run_command(argv, deadline=deadline, environment=ipmi.environment(power, deadline))


def _begin_sol(channel: PtyChannel, power: PowerSpec, host: str, deadline: Deadline) -> bytes:
    """Wait until the session is there; returns what the host has printed by then. Raises InfraError if it fails."""
    said = b""
    timer = threading.Timer(max(0.1, deadline.remaining), channel.close)
    timer.daemon = True
    timer.start()
    try:
        while SOL_BEGUN not in said:
            data = channel.read()
            if not data:
                said = said if b"rror" in said or b"SOL" in said else b"no response"
                raise InfraError(ipmi.explain(power, host, Output(1, "", said.decode("utf-8", "replace"))))
            said += data
    finally:
        timer.cancel()
    return said.partition(SOL_BEGUN)[2].partition(b"\n")[2]


class Begun(Channel):
    """A channel of which the first bytes were already read."""

    def __init__(self, channel: Channel, first: bytes) -> None:
        self._channel, self._first = channel, first

    def read(self) -> bytes:
        """See `Channel.read`."""
        first, self._first = self._first, b""
        return first or self._channel.read()

    def write(self, data: bytes) -> None:
        """See `Channel.write`."""
        self._channel.write(data)

    def send_break(self, key: str) -> None:
        """See `Channel.send_break`."""
        self._channel.send_break(key)

    def close(self) -> None:
        """See `Channel.close`."""
        self._channel.close()


def open_conserver(opening: Opening) -> Stream:
    """Open a console of conserver, with its own client."""
    spec = opening.spec
    argv = ["console", "-M", spec.address, "-p", str(spec.port or 782), "-f", spec.console]
    return Stream("conserver", opening, lambda _: PtyChannel(argv, {}, CONSERVER_BREAK, _nothing))


def open_command(opening: Opening) -> Stream:
    """Open a console that a command of the owner's shows, such as ssh to a console server."""
    argv = ["sh", "-c", f"exec {opening.spec.command}"]
    return Stream("SSH", opening, lambda _: PtyChannel(argv, {}, SSH_BREAK, _nothing))
