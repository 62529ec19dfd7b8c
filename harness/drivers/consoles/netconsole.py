"""netconsole: the kernel sends what it prints in UDP datagrams. It takes no input, and loss is marked in the output.

Records of an extended netconsole begin with `level,number,time,flags;` (Documentation/networking/netconsole.rst). The
numbers count every record of the kernel's log, so a gap is a loss, or what is above the console's log level and never
sent: with level 8, which a trial sets, nothing is. Long records come in fragments (`ncfrag=0/1200`), and what is not
printable ASCII comes as `\\x09`.
"""

from __future__ import annotations

import re
import socket
from contextlib import suppress
from dataclasses import dataclass, field

from harness.drivers.consoles.base import Channel, Opening, Stream
from harness.model.clock import Deadline
from harness.model.errors import InfraError

HEAD = re.compile(rb"(\d{1,3}),(\d{1,19}),(\d{1,19}),([^;\n]{0,100});", re.DOTALL)
ESCAPED = re.compile(rb"\\x([0-9a-f]{2})")
FRAGMENT = re.compile(rb"ncfrag=(\d{1,6})/(\d{1,6})")
BUFFER = 8 * 1024 * 1024
RECORD, FRAGMENTS, OPEN = (
    65536,
    512,
    8,
)  # the most bytes and fragments of a record, and records of which a part is awaited
LATE_S = 1.0  # a record that is older than the last by less than this was overtaken; by more, the host has booted
PORT = 6666


@dataclass(slots=True)
class Parts:
    """What has come of a record in fragments."""

    text: bytearray
    ends: dict[int, int] = field(default_factory=dict)  # of each fragment, by where it begins

    @property
    def complete(self) -> bool:
        """Whether the fragments cover it all, without a gap."""
        end = 0
        for begin in sorted(self.ends):
            if begin > end:
                return False
            end = max(end, self.ends[begin])
        return end >= len(self.text)


class Records:
    """Joins the datagrams of one host to the text that its kernel printed."""

    def __init__(self) -> None:
        self._next: int | None = None
        self._time = 0.0
        self._parts: dict[int, Parts] = {}

    def feed(self, datagram: bytes) -> bytes:
        """The text of a datagram, with a line before it if records were lost; b"" for a part of a record."""
        head = HEAD.match(datagram)
        if head is None:
            return datagram  # not extended
        number, text = int(head[2]), datagram[head.end() :]
        if (fragment := FRAGMENT.search(head[4])) is not None:
            whole = self._join(number, int(fragment[1]), int(fragment[2]), text)
            if whole is None:
                return b""
            text = whole
        message = text.partition(b"\n")[0]  # the rest are fields such as SUBSYSTEM=
        seconds = int(head[3]) / 1e6
        lines = _as_printed(message).split(b"\n")
        return self._loss(number, seconds) + b"".join(b"[%12.6f] %s\n" % (seconds, line) for line in lines)

    def _join(self, number: int, begin: int, length: int, text: bytes) -> bytes | None:
        if length > RECORD or begin + len(text) > length:
            return None
        parts = self._parts.setdefault(number, Parts(bytearray(length)))
        if len(parts.text) != length or len(parts.ends) >= FRAGMENTS:
            return None  # no kernel sends that
        parts.text[begin : begin + len(text)] = text
        parts.ends[begin] = begin + len(text)
        while len(self._parts) > OPEN:  # the others lost a part
            del self._parts[next(iter(self._parts))]
        if not parts.complete:
            return None
        self._parts.pop(number, None)
        return bytes(parts.text)

    def _loss(self, number: int, seconds: float) -> bytes:
        if self._next is not None and number < self._next and self._time - seconds < LATE_S:
            return b""  # it was overtaken, and is counted as lost
        expected, self._next, self._time = self._next, number + 1, seconds
        if expected is None or number <= expected:  # a boot starts from the beginning
            return b""
        return b"[harness: %d records of netconsole lost or not printed here]\n" % (number - expected)


def _as_printed(message: bytes) -> bytes:
    """What another console shows: the tabs of stack traces and stall reports, and the lines of a record of several."""
    return ESCAPED.sub(lambda found: bytes.fromhex(found[1].decode()), message)


class NetconsoleChannel(Channel):
    """The port of this machine to which one host sends."""

    def __init__(self, listener: socket.socket, sender: str) -> None:
        self._listener, self._sender = listener, sender
        self._records = Records()

    def read(self) -> bytes:
        """See `Channel.read`."""
        while True:
            data, sender = self._listener.recvfrom(65536)
            if not sender:  # it was closed
                return b""
            if self._sender and sender[0] != self._sender:
                continue  # somebody else's
            if text := self._records.feed(data):
                return text

    def write(self, data: bytes) -> None:
        """See `Channel.write`."""
        raise OSError("netconsole takes no input")

    def send_break(self, key: str) -> None:
        """See `Channel.send_break`."""
        raise OSError("netconsole takes no break")

    def close(self) -> None:
        """See `Channel.close`."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def open_netconsole(opening: Opening) -> Stream:
    """Listen for a host; `address` of the console, if there is one, is the only sender that is heard."""
    spec = opening.spec

    def connect(deadline: Deadline) -> Channel:
        port = PORT if spec.port is None else spec.port
        listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        try:
            listener.bind(("", port))
        except OSError as error:
            listener.close()
            raise InfraError(f"netconsole of {opening.host}: port {port} of this machine: {error.strerror}") from error
        return NetconsoleChannel(listener, spec.address)

    return Stream("netconsole", opening, connect)
