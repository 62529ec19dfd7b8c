"""The second serial port: the agent's lines come in, orders go out."""

from __future__ import annotations

import binascii
import itertools
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.drivers.serial.ivshmem_mailbox import IvshmemMailbox
from harness.drivers.serial.serial_socket import SerialSocket
from harness.model.clock import Deadline
from harness.model.errors import DeadlineExceeded, InfraError, ShellError

LINE_LIMIT = 64 * 1024


def frame(record: dict[str, Any]) -> bytes:
    """One line of the agent's protocol, which harness/agent/agent.py describes."""
    return checked(json.dumps(record, separators=(",", ":")).encode())


def checked(text: bytes) -> bytes:
    """The text of a record with its checksum."""
    return b"%s*%08x\n" % (text, binascii.crc32(text))


def unframe(line: bytes) -> dict[str, Any]:
    """The record of one line; raises ValueError if it is not whole."""
    text, star, crc = line.strip().rpartition(b"*")
    if not star or int(crc, 16) != binascii.crc32(text):
        raise ValueError("damaged line")
    record = json.loads(text)
    if not isinstance(record, dict):
        raise ValueError("not a record")
    return record


class SerialTransport:
    """Records come in over a UART; orders go through the mailbox where the host has one, else over the UART as well.

    A UART loses nothing in transit: a record that does not arrive was not sent.
    """

    silence_is_proof = True

    def __init__(self, path: Path, sink: Callable[[bytes], None], mailbox: IvshmemMailbox | None) -> None:
        self._mailbox = mailbox
        self._posting = threading.Lock()
        self.name = "UART" if mailbox is None else "UART and ivshmem"
        self.wire = SerialSocket(path, sink)

    def send(self, order: bytes, *, deadline: Deadline) -> bool:
        """See `AgentTransport.send`."""
        if self._mailbox is not None:
            with self._posting:
                return self._mailbox.post(order, deadline)
        self.wire.send(checked(order))
        return True


class SerialAgentLink:
    """The link to one agent. Every record that is not an answer goes to `on_record`."""

    def __init__(
        self,
        path: Path,
        host: str,
        on_record: Callable[[dict[str, Any]], None],
        mailbox: IvshmemMailbox | None = None,
    ) -> None:
        self.path = path
        self._host = host
        self._on_record = on_record
        self._buffer = b""
        self._numbers = itertools.count(1)
        self._answers: dict[int, list[str]] = {}
        self._done: dict[int, bool] = {}
        self._changed = threading.Condition()
        self.damaged = 0
        self.transport = SerialTransport(path, self._feed, mailbox)

    def _feed(self, data: bytes) -> None:
        *lines, rest = (self._buffer + data).split(b"\n")
        self._buffer = rest[-LINE_LIMIT:]
        for line in lines:
            if not line.strip():
                continue
            try:
                record = unframe(line)
            except ValueError:
                self.damaged += 1
                continue
            if "id" in record:
                self._take_answer(record)
            else:
                self._on_record(record)

    def _take_answer(self, record: dict[str, Any]) -> None:
        with self._changed:
            number = record["id"]
            if number in self._answers:
                self._answers[number].append(str(record.get("out", "")))
                if not record.get("more"):
                    self._done[number] = bool(record.get("ok"))
                    self._changed.notify_all()

    def ask(self, verb: str, *, deadline: Deadline, **arguments: object) -> str:
        """See `AgentLink.ask`."""
        number = next(self._numbers)
        with self._changed:
            self._answers[number] = []
        try:
            order = json.dumps({"id": number, "do": verb, **arguments}).encode()
            if not self.transport.send(order, deadline=deadline):
                raise self._overdue(verb, "the agent did not take the order before this one")
            with self._changed:
                while number not in self._done:
                    if deadline.passed:
                        raise self._overdue(verb, "no answer from the agent")
                    self._changed.wait(min(0.2, deadline.remaining + 0.001))
                text = "".join(self._answers[number])
                if not self._done[number]:
                    raise ShellError(host=self._host, command=f"agent: {verb}", problem=text)
                return text
        except InfraError as error:
            if isinstance(error, ShellError):
                raise
            raise ShellError(host=self._host, command=f"agent: {verb}", problem=str(error)) from error
        finally:
            with self._changed:
                self._answers.pop(number, None)
                self._done.pop(number, None)

    def _overdue(self, verb: str, problem: str) -> DeadlineExceeded:
        return DeadlineExceeded(host=self._host, command=f"agent: {verb}", problem=problem)

    @property
    def error(self) -> Exception | None:
        """The first exception that `on_record` raised, if any."""
        return self.transport.wire.error

    def close(self) -> None:
        """Close the serial port; never raises."""
        self.transport.wire.close()
