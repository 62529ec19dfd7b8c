"""Standard input and output of the agent's process, carried by an SSH channel."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Protocol

from harness.drivers.agent_link import checked
from harness.model.clock import Deadline
from harness.model.errors import InfraError

READ_SIZE = 65536
POLL_S = 0.5


class ByteChannel(Protocol):
    """An open channel, as paramiko has it."""

    def settimeout(self, timeout: float | None) -> None:
        """How long `recv` and `send` may block."""

    def recv(self, nbytes: int) -> bytes:
        """Bytes that arrived; b"" at the end."""

    def send(self, data: bytes) -> int:
        """Send some of the data; returns how much."""

    def close(self) -> None:
        """Close it."""


class SshTransport:
    """The agent runs on a channel of `FabricShell.start`.

    SSH may stop while its host is well, so silence proves nothing.
    """

    name = "SSH"
    silence_is_proof = False
    repeat_s: float | None = None

    def __init__(self, channel: ByteChannel, sink: Callable[[bytes], None]) -> None:
        self._channel = channel
        self._sink = sink
        self._sending = threading.Lock()
        self._closed = False
        self.ended = False
        self.error: Exception | None = None
        channel.settimeout(POLL_S)
        self._thread = threading.Thread(target=self._read, name="agent over ssh", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while not self._closed:
            try:
                data = self._channel.recv(READ_SIZE)
            except TimeoutError:
                continue
            except (OSError, EOFError):
                break
            if not data:
                break
            try:
                self._sink(data)
            except Exception as error:
                self.error = self.error or error
        self.ended = True

    def send(self, order: bytes, *, deadline: Deadline) -> bool:
        """See `AgentTransport.send`."""
        # The newline first ends what an earlier deadline may have left half sent.
        rest = b"\n" + checked(order)
        with self._sending:
            while rest:
                if self.ended:
                    raise InfraError("the SSH channel of the agent has ended")
                if deadline.passed:
                    return False
                try:
                    rest = rest[self._channel.send(rest) :]
                except TimeoutError:
                    continue
                except OSError as error:
                    raise InfraError(f"the SSH channel of the agent: {error}") from error
        return True

    def close(self) -> None:
        """See `AgentChannel.close`."""
        self._closed = True
        with contextlib.suppress(Exception):
            self._channel.close()
        self._thread.join(timeout=2.0)
