"""A byte there and back over a separate connection: the latency that an interactive session on the link would see."""

from __future__ import annotations

import contextlib
import socket
import time

TYPE_CHECKING = False  # what type checkers take for true; nothing is imported for it on the host
if TYPE_CHECKING:
    from typing import Any

PING_PORT = 7079  # the agent's echo has 7077
PING_S = 0.5


class Ping:
    """Sends a byte there and back over a separate connection, repeatedly; `waiting` is when the one under way began."""

    def __init__(self, peer: str) -> None:
        self.peer = peer
        self.begin()
        self.waiting: float | None = None

    def begin(self) -> None:
        """Count from now on."""
        self.count, self.worst, self.worst_at = 0, 0.0, 0.0

    def run(self) -> None:
        """Ping for ever; reconnects after an error."""
        while True:
            with contextlib.suppress(OSError), socket.create_connection((self.peer, PING_PORT)) as line:
                while self.exchange(line):
                    time.sleep(PING_S)
            time.sleep(PING_S)

    def exchange(self, line: socket.socket) -> bool:
        begun = self.waiting = time.monotonic()
        line.sendall(b".")
        if not line.recv(1):
            return False
        took = time.monotonic() - begun
        self.waiting = None
        self.count += 1
        if took > self.worst:
            self.worst, self.worst_at = took, begun
        return True

    def record(self) -> dict[str, Any]:
        """The figures for the board."""
        return {"count": self.count, "worst": self.worst, "worst_at": self.worst_at, "waiting": self.waiting}


def answer(address: str) -> None:
    """Send every received byte back, one connection at a time; never returns."""
    with socket.create_server((address, PING_PORT)) as server:
        while True:
            with contextlib.suppress(OSError):
                line, _ = server.accept()
                with line:
                    while data := line.recv(64):
                        line.sendall(data)
