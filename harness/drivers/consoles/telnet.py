"""Consoles behind a TCP port: ser2net, terminal servers, emulators; with telnet's commands (RFC 854) or raw."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress

from harness.drivers.consoles.base import READ_SIZE, Channel, Opening, Stream
from harness.model.clock import Deadline
from harness.model.errors import InfraError

IAC, BREAK, SB, SE = 0xFF, 0xF3, 0xFA, 0xF0
WILL, WONT, DO, DONT = 0xFB, 0xFC, 0xFD, 0xFE
# Options that a console server wants and that change nothing here: binary, echo, suppress go-ahead.
BINARY, ECHO, GO_AHEAD = 0, 1, 3
REFUSAL = {WILL: DONT, DO: WONT}
CONSENT = {WILL: DO, DO: WILL}
PAUSE_S = 0.2  # between a break and its key; in one packet, some servers send the key first


class TelnetReader:
    """Takes telnet's commands out of a stream; they may be cut anywhere."""

    def __init__(self) -> None:
        self._rest = b""  # the beginning of a command
        self._skipping = False  # within a subnegotiation
        self._settled: set[tuple[int, int]] = set()

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """The data in it, and what to answer."""
        text, out, answer = self._rest + data, bytearray(), bytearray()
        self._rest = b""
        begin = 0
        while (at := text.find(IAC, begin)) >= 0:
            if not self._skipping:
                out += text[begin:at]
            command = text[at : at + self._length(text, at)]
            if not command:
                self._rest = text[at:]
                return bytes(out), bytes(answer)
            begin = at + len(command)
            if self._skipping:
                self._skipping = command[1] != SE
            elif command[1] == IAC:
                out.append(IAC)
            elif command[1] in (WILL, DO):
                answer += self._answer(command[1], command[2])
            else:
                self._skipping = command[1] == SB
        if not self._skipping:
            out += text[begin:]
        return bytes(out), bytes(answer)

    def _length(self, text: bytes, at: int) -> int:
        """Bytes of the command at `at`; 0 if it is not complete."""
        if len(text) < at + 2:
            return 0
        need = 3 if not self._skipping and WILL <= text[at + 1] <= DONT else 2
        return need if len(text) >= at + need else 0

    def _answer(self, verb: int, option: int) -> bytes:
        """Consent to what changes nothing, refuse the rest, each once: else two sides could answer for ever."""
        if (verb, option) in self._settled:
            return b""
        self._settled.add((verb, option))
        table = CONSENT if option in (BINARY, GO_AHEAD) or (verb, option) == (WILL, ECHO) else REFUSAL
        return bytes((IAC, table[verb], option))


class TcpChannel(Channel):
    """One connection; without a reader it is raw."""

    def __init__(self, connection: socket.socket, reader: TelnetReader | None) -> None:
        self._connection, self._reader = connection, reader
        self._lock = threading.Lock()

    def read(self) -> bytes:
        """See `Channel.read`."""
        while data := self._connection.recv(READ_SIZE):
            if self._reader is None:
                return data
            text, answer = self._reader.feed(data)
            if answer:
                self._send(answer)
            if text:
                return text
        return b""

    def write(self, data: bytes) -> None:
        """See `Channel.write`."""
        self._send(data if self._reader is None else data.replace(bytes((IAC,)), bytes((IAC, IAC))))

    def send_break(self, key: str) -> None:
        """See `Channel.send_break`."""
        if self._reader is None:
            raise OSError("a raw connection carries no break; use telnet or RFC 2217")
        self._send(bytes((IAC, BREAK)))
        time.sleep(PAUSE_S)
        self.write(key.encode())

    def _send(self, data: bytes) -> None:
        with self._lock:
            self._connection.sendall(data)

    def close(self) -> None:
        """See `Channel.close`."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()


def open_telnet(opening: Opening) -> Stream:
    """Open a console behind a TCP port."""
    spec = opening.spec

    def connect(deadline: Deadline) -> Channel:
        try:
            connection = socket.create_connection((spec.address, spec.port or 23), max(0.1, deadline.remaining))
        except OSError as error:
            reason = error.strerror or str(error)
            raise InfraError(f"the console of {opening.host} at {spec.address}:{spec.port}: {reason}") from error
        connection.settimeout(None)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return TcpChannel(connection, None if spec.raw else TelnetReader())

    return Stream("telnet", opening, connect)
