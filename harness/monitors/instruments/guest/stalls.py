"""When the bytes of a transfer stop moving one way, and for how long."""

from __future__ import annotations

TYPE_CHECKING = False  # what type checkers take for true; nothing is imported for it on the host
if TYPE_CHECKING:
    from typing import Any

    from harness.monitors.instruments.guest.sock_diag import Key

KEPT_STALLS = 40
MOVED = 256 * 1024  # bytes after which a direction is one in which something is transferred


class Direction:
    """When bytes last moved one way, and the times for which they did not."""

    def __init__(self, stall_s: float) -> None:
        self.stall_s = stall_s
        self.total = 0
        self.last: dict[Key, int] = {}
        self.moved_at: float | None = None
        self.stalls: list[list[float]] = []
        self.count = 0

    def look(self, now: float, values: dict[Key, int]) -> None:
        """Take a sample: cumulative bytes of every socket there is. Without any, nobody waits for bytes."""
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
        """Whether this is a direction of the transfer, and not the one of its acknowledgements."""
        return self.total >= MOVED

    def record(self) -> dict[str, Any]:
        """For the board."""
        since = self.moved_at if self.busy else None
        return {"bytes": self.total, "count": self.count, "stalls": self.stalls, "moved_at": since}
