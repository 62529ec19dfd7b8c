"""netconsole: the kernel sends what it prints in UDP datagrams. It takes no input, and loss is marked in the output.

Records of an extended netconsole begin with `level,number,time,flags;` (Documentation/networking/netconsole.rst). The
numbers count every record of the kernel's log, so a gap is a loss. Long records come in fragments (`ncfrag=0/1200`).
"""

from __future__ import annotations

import re
import socket
from contextlib import suppress

from harness.drivers.consoles.base import Channel, Opening, Stream
from harness.model.clock import Deadline
from harness.model.errors import InfraError

HEAD = re.compile(rb"(\d{1,3}),(\d{1,19}),(\d{1,19}),([^;\n]{0,100});", re.DOTALL)
FRAGMENT = re.compile(rb"ncfrag=(\d{1,6})/(\d{1,6})")
BUFFER = 8 * 1024 * 1024


class Records:
    """Joins the datagrams of one host to the text that its kernel printed."""

    def __init__(self) -> None:
        self._next: int | None = None
        self._fragments: dict[int, bytearray] = {}
        self._missing: dict[int, int] = {}

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
        line = text.partition(b"\n")[0]  # the rest are fields such as SUBSYSTEM=
        seconds = int(head[3]) / 1e6
        return self._loss(number) + b"[%12.6f] %s\n" % (seconds, line)

    def _join(self, number: int, begin: int, length: int, text: bytes) -> bytes | None:
        if length > 65536 or begin + len(text) > length:
            return None
        whole = self._fragments.setdefault(number, bytearray(length))
        whole[begin : begin + len(text)] = text
        left = self._missing[number] = self._missing.get(number, length) - len(text)
        while len(self._fragments) > 8:  # the others lost a part
            old = next(iter(self._fragments))
            del self._fragments[old], self._missing[old]
        if left > 0:
            return None
        del self._missing[number]
        return bytes(self._fragments.pop(number))

    def _loss(self, number: int) -> bytes:
        expected, self._next = self._next, number + 1
        if expected is None or number <= expected:  # a boot starts from the beginning
            return b""
        return b"[harness: %d records of netconsole lost here]\n" % (number - expected)


class NetconsoleChannel(Channel):
    """The port of this machine to which one host sends."""

    def __init__(self, listener: socket.socket, sender: str) -> None:
        self._listener, self._sender = listener, sender
        self._records = Records()

    def read(self) -> bytes:
        """See `Channel.read`."""
        while True:
            data, (address, _) = self._listener.recvfrom(65536)
            if not data and not address:
                return b""
            if self._sender and address != self._sender:
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
        listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        try:
            listener.bind(("", spec.port or 6666))
        except OSError as error:
            listener.close()
            raise InfraError(
                f"netconsole of {opening.host}: port {spec.port} of this machine: {error.strerror}"
            ) from error
        return NetconsoleChannel(listener, spec.address)

    return Stream("netconsole", opening, connect)
