"""Serial ports of guests: unix sockets on which the harness listens, so that no byte is missed.

The guest's hypervisor connects when the guest is created, before its first instruction.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from harness.model.errors import InfraError

READ_SIZE = 65536


class SerialSocket:
    """One serial port: every byte that arrives goes to `sink`, on a thread of its own.

    `error` is the first exception that `sink` raised, if any.
    """

    def __init__(self, path: Path, sink: Callable[[bytes], None]) -> None:
        self.path = path
        self._sink = sink
        self._peer: socket.socket | None = None
        self._closed = False
        self.error: Exception | None = None
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._server.bind(str(path))
        except OSError as error:
            self._server.close()
            raise InfraError(f"cannot listen on {path}: {error}") from error
        self._server.listen(1)
        self._thread = threading.Thread(target=self._read, name=f"wire {path.name}", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            peer, _ = self._server.accept()
        except OSError:
            return  # closed before a guest connected
        self._peer = peer
        while True:
            try:
                data = peer.recv(READ_SIZE)
            except OSError:
                return
            if not data:
                return
            try:
                self._sink(data)
            except Exception as error:
                # Go on reading: an unread port blocks the guest that prints to it.
                self.error = self.error or error

    def send(self, data: bytes) -> None:
        """Write to the guest's port; raises InfraError when nobody is connected."""
        if self._peer is None:
            raise InfraError(f"{self.path.name}: no guest on this wire")
        try:
            self._peer.sendall(data)
        except OSError as error:
            raise InfraError(f"{self.path.name}: {error}") from error

    def close(self) -> None:
        """Stop listening and reading; never raises."""
        if self._closed:
            return
        self._closed = True
        for end in (self._server, self._peer):
            if end is not None:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout=2.0)
        with contextlib.suppress(OSError):
            self.path.unlink()
