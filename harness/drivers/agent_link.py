"""The link to the agent of one host, over any channel: records come in, orders are asked and answered."""

from __future__ import annotations

import binascii
import itertools
import json
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from harness.drivers.protocols import AgentTransport
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


class AgentChannel(AgentTransport, Protocol):
    """A channel to an agent while it is open; `harness.drivers.channels` has them."""

    @property
    def repeat_s(self) -> float | None:
        """After how many seconds an order without an answer is sent again; None if a channel loses none.

        An agent that takes orders over such a channel does none of them twice.
        """

    @property
    def error(self) -> Exception | None:
        """The first exception of the sink, if any."""

    def close(self) -> None:
        """Close it; never raises."""


class FramedAgentLink:
    """The link to one agent. Every record that is not an answer goes to `on_record`.

    `open_channel` gets the sink for what arrives.
    """

    def __init__(
        self,
        host: str,
        on_record: Callable[[dict[str, Any]], None],
        open_channel: Callable[[Callable[[bytes], None]], AgentChannel],
    ) -> None:
        self._host = host
        self._on_record = on_record
        self._buffer = b""
        self._answers: dict[int, dict[int, str]] = {}
        self._last: dict[int, dict[str, Any]] = {}
        self._done: dict[int, bool] = {}
        self._changed = threading.Condition()
        self.damaged = 0
        self.transport = open_channel(self._feed)
        # Where orders may come twice, numbers grow from link to link: no agent takes a new one for a repetition.
        self._numbers = itertools.count(1 if self.transport.repeat_s is None else time.time_ns() // 1_000_000)

    def _feed(self, data: bytes) -> None:
        *lines, rest = (self._buffer + data).split(b"\n")
        self._buffer = rest[-LINE_LIMIT:]
        for line in lines:
            if not line.strip():
                continue
            try:
                record = unframe(line)
                is_answer = "id" in record
                if is_answer:
                    self._take_answer(record)
            except (ValueError, KeyError, TypeError):
                self.damaged += 1
                continue
            if is_answer:
                continue
            self._on_record(record)

    def _take_answer(self, record: dict[str, Any]) -> None:
        with self._changed:
            number = record["id"]
            if number in self._answers:
                pieces = self._answers[number]
                pieces[int(record["at"])] = str(record["out"])
                if not record["more"]:
                    self._last[number] = record
                if number in self._last and _is_whole(pieces, self._last[number]):
                    self._done[number] = bool(self._last[number]["ok"])
                    self._changed.notify_all()

    def ask(self, verb: str, *, deadline: Deadline, **arguments: object) -> str:
        """See `AgentLink.ask`."""
        number = next(self._numbers)
        with self._changed:
            self._answers[number] = {}
        try:
            order = json.dumps({"id": number, "do": verb, **arguments}).encode()
            while not self._answered(number, order, verb, deadline):
                pass
            with self._changed:
                text = _joined(self._answers[number])
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
                self._last.pop(number, None)

    def _answered(self, number: int, order: bytes, verb: str, deadline: Deadline) -> bool:
        """Send an order and wait for its answer; False when it is time to send it again."""
        if not self.transport.send(order, deadline=deadline):
            raise self._overdue(verb, "the agent did not take the order before this one")
        repeat_s = self.transport.repeat_s
        until = deadline if repeat_s is None else deadline.within(repeat_s)
        with self._changed:
            while number not in self._done:
                if deadline.passed:
                    raise self._overdue(verb, "no answer from the agent")
                if until.passed:
                    return False
                self._changed.wait(min(0.2, until.remaining + 0.001))
        return True

    def _overdue(self, verb: str, problem: str) -> DeadlineExceeded:
        return DeadlineExceeded(host=self._host, command=f"agent: {verb}", problem=problem)

    @property
    def error(self) -> Exception | None:
        """The first exception that `on_record` raised, if any."""
        return self.transport.error

    def close(self) -> None:
        """Close the channel; never raises."""
        self.transport.close()


def _joined(pieces: dict[int, str]) -> str:
    return "".join(pieces[at] for at in sorted(pieces))


def _is_whole(pieces: dict[int, str], last: dict[str, Any]) -> bool:
    """Whether no piece before the last is missing."""
    return len(_joined(pieces)) == int(last["at"]) + len(str(last["out"]))
