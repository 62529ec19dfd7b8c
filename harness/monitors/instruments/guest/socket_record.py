"""The record of a watch over sockets: samples, and the figures made from them."""

from __future__ import annotations

import time

from harness.monitors.instruments.guest.drops import Drops
from harness.monitors.instruments.guest.kernel_threads import Threads
from harness.monitors.instruments.guest.ping_pong import Ping
from harness.monitors.instruments.guest.sock_diag import Diag
from harness.monitors.instruments.guest.stalls import Direction

TYPE_CHECKING = False  # what type checkers take for true; nothing is imported for it on the host
if TYPE_CHECKING:
    from typing import Any

    from harness.monitors.instruments.guest.sock_diag import Key, Sample

KEPT_SAMPLES = 10
DIRECTIONS = {"outgoing": "acked", "incoming": "received"}


def named(key: Key) -> str:
    return f"{key[0]}-{key[1]}"


class Watch:
    """Takes samples and keeps their figures."""

    def __init__(self, stall_s: float, peer: str, ports: set[int]) -> None:
        self.diag, self.threads, self.ping, self.drops = Diag(), Threads(), Ping(peer), Drops()
        self.peer, self.ports = peer, ports
        self.stall_s = stall_s
        self.begin()

    def begin(self) -> None:
        """Count from now on."""
        self.directions = {name: Direction(self.stall_s) for name in DIRECTIONS}
        self.samples: dict[str, list[Sample]] = {}
        self.worst: dict[str, Any] = {}
        self.begun = self.last = time.monotonic()
        self.count, self.gap = 0, 0.0
        self.threads.begin()
        self.drops.begin()
        self.ping.begin()

    def look(self) -> None:
        """Take one sample of everything."""
        found = self.diag.sockets(self.peer, self.ports)
        now = time.monotonic()
        self.gap, self.last, self.count = max(self.gap, now - self.last), now, self.count + 1
        for name, field in DIRECTIONS.items():
            self.directions[name].look(now, {key: sample[field] for key, sample in found.items()})
        self.samples = {
            named(key): [*self.samples.get(named(key), [])[-KEPT_SAMPLES + 1 :], {"t_ms": int(now * 1000), **sample}]
            for key, sample in found.items()
        }
        self.note_worst(now, found)
        self.threads.look(now)
        self.drops.look()

    def note_worst(self, now: float, found: dict[Key, Sample]) -> None:
        """Keep the state of the sockets at the end of the longest stall so far."""
        for name, direction in self.directions.items():
            length = now - direction.moved_at if direction.busy and direction.moved_at is not None else 0.0
            if length >= direction.stall_s and length > self.worst.get("length", 0.0):
                sockets = {named(key): sample for key, sample in found.items()}
                self.worst = {"direction": name, "length": round(length, 2), "sockets": sockets}

    def record(self) -> dict[str, Any]:
        """The figures for the board."""
        return {
            "begun": self.begun,
            "now": self.last,
            "count": self.count,
            "gap": round(self.gap, 2),
            "directions": {name: direction.record() for name, direction in self.directions.items()},
            "worst": self.worst,
            "cpu": self.threads.seconds(),
            "ping": self.ping.record(),
            "drops": self.drops.record(),
            "samples": self.samples,
        }
