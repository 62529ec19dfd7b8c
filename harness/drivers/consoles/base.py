"""What consoles share: a thread that reads, hands bytes on, and opens the stream again when it breaks."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from harness.drivers.commands import printable
from harness.model.clock import Deadline
from harness.model.errors import InfraError
from harness.model.owned_host import ConsoleSpec, PowerSpec

Sink = Callable[[bytes], None]
AGAIN_S = 2.0  # until a stream that broke is opened again
OPEN_S = 30.0
READ_SIZE = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What is needed to open a console."""

    spec: ConsoleSpec
    host: str
    power: PowerSpec | None
    sink: Sink
    deadline: Deadline


class Channel(ABC):
    """One connection to a console."""

    @abstractmethod
    def read(self) -> bytes:
        """The next bytes, b"" when the connection has ended; returns as well when another thread closes it."""

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Type `data`; raises OSError."""

    @abstractmethod
    def send_break(self, key: str) -> None:
        """A break, then `key`; raises OSError."""

    @abstractmethod
    def close(self) -> None:
        """End it; may be called twice, and by two threads; never raises."""


class Stream:
    """A console that is read; see `protocols.ConsoleStream`, and `protocols.Console` for its input."""

    def __init__(self, name: str, opening: Opening, connect: Callable[[Deadline], Channel]) -> None:
        self.error: Exception | None = None
        self.broken = ""
        self._name, self._opening, self._connect = name, opening, connect
        self._closed = threading.Event()
        self._channel: Channel | None = connect(opening.deadline)
        self._thread = threading.Thread(target=self._run, name=f"console {opening.host}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._closed.is_set():
            if (channel := self._channel) is not None:
                self._pump(channel)
            if not self._closed.wait(AGAIN_S):
                self._open_again()
        self._end()  # what was opened while `close` was called

    def _pump(self, channel: Channel) -> None:
        reason = "it ended"
        try:
            while data := channel.read():
                self._hand_on(data)
        except Exception as error:  # whatever it is, the console is opened again
            reason = printable(str(error))
        self._end()
        self.broken = f"the {self._name} console of {self._opening.host} broke: {reason}"

    def _end(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            with suppress(Exception):
                channel.close()

    def _hand_on(self, data: bytes) -> None:
        try:
            self._opening.sink(data)
        except Exception as error:
            self.error = self.error or error  # go on reading: an unread console may block the host that prints

    def _open_again(self) -> None:
        try:
            self._channel = self._connect(Deadline.after(OPEN_S))
            self.broken = ""
        except Exception as error:
            self.broken = printable(str(error)) or type(error).__name__

    def send(self, data: bytes) -> None:
        """See `Console.send`."""
        self._use(lambda channel: channel.write(data))

    def send_break(self, key: str) -> None:
        """See `Console.send_break`."""
        self._use(lambda channel: channel.send_break(key))

    def _use(self, act: Callable[[Channel], None]) -> None:
        channel = self._channel
        if channel is None:
            raise InfraError(self.broken or f"the {self._name} console of {self._opening.host} is not connected")
        try:
            act(channel)
        except OSError as error:
            raise InfraError(f"the {self._name} console of {self._opening.host}: {error}") from error

    def close(self) -> None:
        """See `ConsoleStream.close`."""
        self._closed.set()
        if (channel := self._channel) is not None:
            with suppress(Exception):
                channel.close()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout=2.0)
