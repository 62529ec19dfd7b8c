"""A serial port of an owned host that a console server carries here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from harness.drivers.agent_link import checked
from harness.drivers.protocols import ConsoleStream
from harness.model.clock import Deadline


class ByteStream(ConsoleStream, Protocol):
    """A console stream that takes input."""

    def send(self, data: bytes) -> None:
        """Send `data`; raises InfraError if it cannot."""


class ConsoleTransport:
    """Frames over an open console stream. A serial line loses nothing, but the way here may break."""

    name = "serial port over a console server"
    repeat_s: float | None = None

    def __init__(
        self, open_stream: Callable[[Callable[[bytes], None]], ByteStream], sink: Callable[[bytes], None]
    ) -> None:
        self._stream = open_stream(sink)

    @property
    def silence_is_proof(self) -> bool:
        """Only while the stream is connected."""
        return not self._stream.broken

    def send(self, order: bytes, *, deadline: Deadline) -> bool:
        """See `AgentTransport.send`."""
        self._stream.send(checked(order))
        return True

    @property
    def error(self) -> Exception | None:
        """See `AgentChannel.error`."""
        return self._stream.error

    def close(self) -> None:
        """See `AgentChannel.close`."""
        self._stream.close()
