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
    text = json.dumps(record, separators=(",", ":")).encode()
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


class SerialAgentLink:
    """The wire to one agent. Every record that is not an answer goes to `on_record`.

    Orders go through the mailbox where the host has one, else over the wire as well.
    """

    def __init__(
        self,
        path: Path,
        host: str,
        on_record: Callable[[dict[str, Any]], None],
        mailbox: IvshmemMailbox | None = None,
    ) -> None:
        self.path = path
        self._letterbox = mailbox
        self._posting = threading.Lock()
        self._host = host
        self._on_record = on_record
        self._buffer = b""
        self._numbers = itertools.count(1)
        self._answers: dict[int, list[str]] = {}
        self._done: dict[int, bool] = {}
        self._changed = threading.Condition()
        self.damaged = 0
        self._wire = SerialSocket(path, self._feed)

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
            self._send({"id": number, "do": verb, **arguments}, deadline)
            with self._changed:
                while number not in self._done:
                    if deadline.passed:
                        raise DeadlineExceeded(
                            host=self._host, command=f"agent: {verb}", problem="no answer from the agent"
                        )
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

    def _send(self, order: dict[str, Any], deadline: Deadline) -> None:
        if self._letterbox is None:
            self._wire.send(frame(order))
            return
        with self._posting:
            if not self._letterbox.post(json.dumps(order).encode(), deadline):
                problem = "the agent did not take the order before this one"
                raise DeadlineExceeded(host=self._host, command=f"agent: {order['do']}", problem=problem)

    @property
    def error(self) -> Exception | None:
        """The first exception of whoever was given a record, if there was one."""
        return self._wire.error

    def close(self) -> None:
        """Let go of the wire; never raises."""
        self._wire.close()
