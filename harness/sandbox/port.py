"""A guest's serial console on a unix socket: clients get its recent and new output, and may type."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from harness.model.errors import InfraError

READ_SIZE = 4096
RECENT = 4096  # bytes of earlier output that a new client gets
# Bytes that a client may lag before it is disconnected: a slow client must not hold up a printing guest.
BEHIND = 1024 * 1024


class ConsolePort:
    """Listens on `path` until closed; `type_in` gets the typed bytes, and raises InfraError if nothing reads them."""

    def __init__(self, path: Path, type_in: Callable[[bytes], None]) -> None:
        self._path, self._type_in = path, type_in
        self._recent = bytearray()
        self._clients: list[socket.socket] = []
        self._lock = threading.Lock()
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._server.bind(str(path))
        except OSError as error:
            self._server.close()
            raise InfraError(f"cannot listen on {path}: {error}") from error
        self._server.listen()
        threading.Thread(target=self._accept, name=f"port {path.name}", daemon=True).start()

    def hear(self, data: bytes) -> None:
        """Pass on the guest's output; never waits for a client."""
        with self._lock:
            self._recent += data
            del self._recent[:-RECENT]
            for client in list(self._clients):
                self._give(client, data)

    def close(self) -> None:
        """Disconnect all clients; never raises."""
        _cut(self._server)
        with self._lock:
            for client in self._clients:
                _cut(client)
            self._clients.clear()
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return  # closed
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BEHIND)
            with self._lock:
                self._clients.append(client)
                self._give(client, bytes(self._recent))
            threading.Thread(target=self._read, args=(client,), name="typing", daemon=True).start()

    def _give(self, client: socket.socket, data: bytes) -> None:
        try:
            if client.send(data, socket.MSG_DONTWAIT) == len(data):
                return
        except OSError:
            pass  # gone, or too far behind
        self._let_go(client)

    def _let_go(self, client: socket.socket) -> None:
        if client in self._clients:
            self._clients.remove(client)
        _cut(client)

    def _read(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError, InfraError):
            while data := client.recv(READ_SIZE):
                self._type_in(data)
        with self._lock:
            self._let_go(client)


def _cut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
