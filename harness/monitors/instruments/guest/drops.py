"""Received packets that the kernel dropped for lack of memory, as counted in /proc/net/netstat."""

from __future__ import annotations

import os

NETSTAT = "/proc/net/netstat"
# include/uapi/linux/snmp.h. PFMemallocDrop counts packets that were received into the reserves for a socket that does
# not serve swap (sk_filter_trim_cap(); c93bdd0e03e8, v3.6).
COUNTERS = ("PFMemallocDrop", "TCPBacklogDrop", "TCPRcvQDrop")
SIZE = 64 * 1024


def counters(text: str) -> dict[str, int]:
    """The values of those `COUNTERS` that this kernel has; a line of names precedes each line of values."""
    found: dict[str, str] = {}
    lines = [line.split() for line in text.splitlines()]
    for names, values in zip(lines[::2], lines[1::2], strict=False):
        found.update(zip(names[1:], values[1:], strict=False))
    return {name: int(found[name]) for name in COUNTERS if name in found}


class Drops:
    """Counts packets dropped since `begin`."""

    def __init__(self, path: str = NETSTAT) -> None:
        self.file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.begin()

    def begin(self) -> None:
        """Count from now on."""
        self.first = self.latest = self.read()

    def look(self) -> None:
        """Read the counters again."""
        self.latest = self.read()

    def read(self) -> dict[str, int]:
        """The counters now."""
        return counters(os.pread(self.file, SIZE, 0).decode())

    def record(self) -> dict[str, int]:
        """Packets by counter."""
        return {name: count - self.first.get(name, 0) for name, count in self.latest.items()}
