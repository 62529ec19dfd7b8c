"""Consoles that a program of this machine shows on its terminal: serial over LAN, conserver, a console server's SSH."""

from __future__ import annotations

import os
import pty
import select
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
SOL_BEGUN, CONSERVER_BEGUN, CONSERVER_DOWN = b"[SOL Session operational", b"[Enter `", b"-- console is down]"
POLL_S, WRITE_S = 0.2, 5.0


class PtyChannel(Channel):
    """A program under a terminal of its own; `escape` is what it takes as a request for a break."""

    def __init__(
        self, argv: Sequence[str], environment: Mapping[str, str], escape: str, end: Callable[[], None]
    ) -> None:
        if shutil.which(argv[0]) is None:
            raise HostEnvironmentError(f"{argv[0]} is not installed", remedy=f"apt install {argv[0]}")
        self._escape, self._end = escape, end
        self._lock, self._closing = threading.Lock(), threading.Lock()
        self._master, slave = pty.openpty()
        self._open = True
        tty.setraw(slave)
        os.set_blocking(self._master, False)
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
        while self._wait(select.POLLIN, POLL_S) is not None:
            with self._lock:  # else `close` could give the number to another file in between
                if not self._open:
                    return b""
                try:
                    return os.read(self._master, READ_SIZE)
                except BlockingIOError:
                    continue
                except OSError:
                    return b""  # EIO: the program has ended
        return b""

    def write(self, data: bytes) -> None:
        """See `Channel.write`."""
        deadline = Deadline.after(WRITE_S)
        while data:
            ready = self._wait(select.POLLOUT, POLL_S)
            if ready is None:
                raise OSError("it is closed")
            if deadline.passed:
                raise OSError("it takes no input")
            with self._lock, suppress(BlockingIOError):
                if self._open:
                    data = data[os.write(self._master, data) :]

    def _wait(self, event: int, seconds: float) -> bool | None:
        """Whether the terminal is ready, after at most `seconds`; None once it is closed."""
        if not self._open:
            return None
        poll = select.poll()
        poll.register(self._master, event)
        return bool(poll.poll(seconds * 1000))

    def send_break(self, key: str) -> None:
        """See `Channel.send_break`."""
        # The escape counts at the beginning of a line only.
        for text in ("\r", self._escape, key):
            self.write(text.encode())
            time.sleep(PAUSE_S)

    def close(self) -> None:
        """See `Channel.close`."""
        with self._closing:
            if not self._open:
                return
            self._kill()
            with self._lock:
                self._open = False
                os.close(self._master)
            self._end()

    def _kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(END_S)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()  # if it has no group of its own yet
        self._process.wait()


def _nothing() -> None:
    pass


def open_sol(opening: Opening) -> Stream:
    """Open serial over LAN. A BMC has one session; somebody else's is left alone."""
    power = opening.power
    assert power is not None, "checked with the inventory"
    begun: list[bool] = []

    def failed(said: str) -> InfraError:
        return InfraError(ipmi.explain(power, opening.host, Output(1, "", said or "no response")))

    def connect(deadline: Deadline) -> Channel:
        ipmi.IpmiPower(power, opening.host).ask(deadline)  # it says what is wrong; `sol activate` does not
        if begun:
            end_sol(power, opening.host)  # the session that broke is ours, and may still count
        secret = ipmi.environment(power, opening.host, deadline)
        argv = [*ipmi.arguments(power), "sol", "activate"]
        channel = PtyChannel(argv, secret, SOL_BREAK, lambda: end_sol(power, opening.host) if begun else None)
        first = _begin(channel, SOL_BEGUN, deadline, failed)
        begun.append(True)
        return Begun(channel, first)

    return Stream("SOL", opening, connect)


def _begin(channel: PtyChannel, mark: bytes, deadline: Deadline, failed: Callable[[str], InfraError]) -> bytes:
    """Wait until the program says that it is connected, with a line that has `mark`; returns what came after it.

    If it ends before, or says nothing by the deadline, the channel is closed, and what `failed` makes of it is raised.
    """
    said = b""
    timer = threading.Timer(max(0.1, deadline.remaining), channel.close)
    timer.daemon = True
    timer.start()
    try:
        while mark not in said or b"\n" not in said.partition(mark)[2]:
            data = channel.read()
            if not data:
                raise failed(said.decode("utf-8", "replace"))
            said = (said + data)[-READ_SIZE:]
            if CONSERVER_DOWN in said.partition(mark)[0]:
                raise failed(said.decode("utf-8", "replace"))
    except BaseException:
        channel.close()
        raise
    finally:
        timer.cancel()
    return said.partition(mark)[2].partition(b"\n")[2]


def end_sol(power: PowerSpec, host: str) -> None:
    """End the session of a BMC, whoever has it; never raises."""
    deadline = Deadline.after(END_SOL_S)
    with suppress(HarnessError):
        argv = [*ipmi.arguments(power), "sol", "deactivate"]
        run_command(argv, deadline=deadline, environment=ipmi.environment(power, host, deadline))


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

    def failed(said: str) -> InfraError:
        where = f"the console {spec.console} of {opening.host} at {spec.address}:{spec.port or 782}"
        return InfraError(f"{where}: {Output(1, '', said or 'no answer').reason}")

    def connect(deadline: Deadline) -> Channel:
        channel = PtyChannel(argv, {}, CONSERVER_BREAK, _nothing)
        return Begun(channel, _begin(channel, CONSERVER_BEGUN, deadline, failed))

    return Stream("conserver", opening, connect)


def open_command(opening: Opening) -> Stream:
    """Open a console that a command of the owner's shows, such as ssh to a console server."""
    argv = ["sh", "-c", opening.spec.command]
    return Stream("SSH", opening, lambda _: PtyChannel(argv, {}, SSH_BREAK, _nothing))
