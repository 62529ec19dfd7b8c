"""Stalls of one direction of a transfer: when its bytes stopped moving, and for how long."""

from __future__ import annotations

TYPE_CHECKING = False  # what type checkers take for true; nothing is imported for it on the host
if TYPE_CHECKING:
    from typing import Any

    from harness.monitors.instruments.guest.sock_diag import Key

KEPT_STALLS = 40
MOVED = 256 * 1024  # bytes after which a direction counts as one of the transfer


class Direction:
    """When bytes last moved in one direction, and the stalls since."""

    def __init__(self, stall_s: float) -> None:
        self.stall_s = stall_s
        self.total = 0
        self.last: dict[Key, int] = {}
        self.moved_at: float | None = None
        self.stalls: list[list[float]] = []
        self.count = 0

    def look(self, now: float, values: dict[Key, int]) -> None:
        """Take a sample: the cumulative bytes of every open socket. Without sockets there is no stall."""
        moved = sum(max(0, value - self.last.get(key, 0)) for key, value in values.items())
        self.last = values
        self.total += moved
        if moved or not values:
            self.close(now)
            self.moved_at = now if values else None

    def close(self, now: float) -> None:
        """Bytes moved again."""
        since = self.moved_at
        if since is not None and self.busy and now - since >= self.stall_s:
            self.count += 1
            self.stalls = [*self.stalls[-KEPT_STALLS + 1 :], [round(since, 2), round(now - since, 2)]]

    @property
    def busy(self) -> bool:
        """Whether this direction carries the transfer, not only its acknowledgements."""
        return self.total >= MOVED

    def record(self) -> dict[str, Any]:
        """The figures for the board."""
        since = self.moved_at if self.busy else None
        return {"bytes": self.total, "count": self.count, "stalls": self.stalls, "moved_at": since}
