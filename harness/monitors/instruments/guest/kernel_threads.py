"""CPU time of the kernel threads that work when memory is short."""

from __future__ import annotations

import contextlib
import os

LISTING_S = 5.0  # how often new kernel threads are looked for
TICKS = os.sysconf("SC_CLK_TCK")


class Threads:
    """CPU time of kswapd and of all kworkers."""

    NAMES = ("kswapd", "kworker")

    def __init__(self) -> None:
        self.files: dict[str, tuple[str, int]] = {}
        self.last: dict[str, int] = {}
        self.due = 0.0
        self.begin()

    def begin(self) -> None:
        """Count from now on."""
        self.used = dict.fromkeys(self.NAMES, 0)

    def look(self, now: float) -> None:
        """Take a sample; new threads count from now on."""
        if now >= self.due:
            self.find()
            self.due = now + LISTING_S
        for pid, (name, fd) in list(self.files.items()):
            try:
                ticks = cpu_ticks(os.pread(fd, 1024, 0))
            except (OSError, ValueError):
                os.close(fd)  # the thread has ended
                del self.files[pid]
                continue
            self.used[name] += ticks - self.last.get(pid, ticks)
            self.last[pid] = ticks

    def find(self) -> None:
        for pid in os.listdir("/proc"):
            if not pid.isdigit() or pid in self.files:
                continue
            with contextlib.suppress(OSError):
                fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
                text = os.pread(fd, 1024, 0)
                name = next((name for name in self.NAMES if b"(" + name.encode() in text), "")
                if name:
                    self.files[pid] = (name, fd)
                else:
                    os.close(fd)

    def seconds(self) -> dict[str, float]:
        return {name: ticks / TICKS for name, ticks in self.used.items()}


def cpu_ticks(stat: bytes) -> int:
    """utime + stime of a line of /proc/<pid>/stat, whose name may contain blanks."""
    words = stat[stat.rindex(b")") + 1 :].split()
    return int(words[11]) + int(words[12])
