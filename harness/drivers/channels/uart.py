"""The second serial port of a guest: the agent's lines come in, orders go out."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from harness.drivers.agent_link import checked
from harness.drivers.serial.ivshmem_mailbox import IvshmemMailbox
from harness.drivers.serial.serial_socket import SerialSocket
from harness.model.clock import Deadline


class UartTransport:
    """Records come in over a UART; orders go through the mailbox where the host has one, else over the UART as well.

    A UART loses nothing in transit: a record that does not arrive was not sent.
    """

    silence_is_proof = True
    repeat_s: float | None = None

    def __init__(self, path: Path, mailbox: IvshmemMailbox | None, sink: Callable[[bytes], None]) -> None:
        self._mailbox = mailbox
        self._posting = threading.Lock()
        self.name = "UART" if mailbox is None else "UART and ivshmem"
        self._wire = SerialSocket(path, sink)

    def send(self, order: bytes, *, deadline: Deadline) -> bool:
        """See `AgentTransport.send`."""
        if self._mailbox is not None:
            with self._posting:
                return self._mailbox.post(order, deadline)
        self._wire.send(checked(order))
        return True

    @property
    def error(self) -> Exception | None:
        """See `AgentChannel.error`."""
        return self._wire.error

    def close(self) -> None:
        """See `AgentChannel.close`."""
        self._wire.close()
