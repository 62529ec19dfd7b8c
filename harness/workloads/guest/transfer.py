"""A long transfer in one direction.

Runs on the host under test; standard library only. Progress goes through a shared file whose layout docs/agent.md
gives; one operation is 4 KiB that moved.

usage: transfer.py PROGRESS KIND DIRECTION WHERE SECONDS
  iperf3   to or from the server at WHERE, address:port
  file     WHERE is written through the page cache (outgoing; an fsync at the end) or read (incoming), again and again;
           its cached pages are dropped before each read
It ends after SECONDS, and prints how many operations it did in how many seconds.
"""

from __future__ import annotations

import mmap
import os
import re
import subprocess
import sys
import time

from harness.guest.memory import as_far_as_possible, lock
from harness.guest.processes import lead, rename
from harness.guest.progress import PAGE, ProgressFile, Slot, sum_up

TYPE_CHECKING = False  # what type checkers take for true; nothing is imported for it on the host
if TYPE_CHECKING:
    from collections.abc import Callable

    Report = Callable[[int], None]  # takes the number of bytes moved

BLOCK = 64 * 1024
EVERY_S = 0.2  # iperf3's minimum is 0.1
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
# "[  5]   0.20-0.40   sec   640 KBytes  26.2 Mbits/sec" is an interval; the sums at the end have a role behind them
INTERVAL = re.compile(rb"^\[ *\d+\] +([\d.]+)-([\d.]+) +sec +([\d.]+) ([KMG]?)Bytes .*?(sender|receiver)?\s*$")


def moved(line: bytes) -> int:
    """Bytes moved in the interval of a line of iperf3; 0 for any other line."""
    found = INTERVAL.match(line)
    if found is None or found[5]:
        return 0
    return int(float(found[3]) * UNITS[found[4].decode()])


def run_iperf3(direction: str, where: str, seconds: float, report: Report) -> None:
    """Transfer with iperf3; raises OSError with its last line if it fails."""
    address, _, port = where.rpartition(":")
    command = ["iperf3", "-c", address, "-p", port, "-t", str(round(seconds)), "-i", str(EVERY_S), "--forceflush"]
    command += ["-R"] if direction == "incoming" else []
    last = b""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        for line in process.stdout:
            report(moved(line))
            last = line
    if process.returncode:
        raise OSError(f"iperf3 ended with {process.returncode}: {last.decode(errors='replace').strip()}")


def run_file(direction: str, path: str, seconds: float, report: Report) -> None:
    """Write or read a file from its beginning to its end, again and again."""
    outgoing = direction == "outgoing"
    fd = os.open(path, os.O_RDWR if outgoing else os.O_RDONLY)
    size = os.fstat(fd).st_size // BLOCK * BLOCK
    buffer = mmap.mmap(-1, BLOCK)
    buffer[:] = os.urandom(BLOCK)
    end = time.monotonic() + seconds
    offset = 0
    while time.monotonic() < end:
        if offset == 0 and not outgoing:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        done = os.pwrite(fd, buffer, offset) if outgoing else os.preadv(fd, [buffer], offset)
        if done != BLOCK:
            raise OSError(f"{done} bytes of {BLOCK} moved")
        report(done)
        offset = (offset + BLOCK) % size
    if outgoing:
        os.fsync(fd)
    os.close(fd)


def transfer(slot: Slot, kind: str, direction: str, where: str, seconds: float) -> None:
    """Run the transfer and count its bytes."""

    def report(count: int) -> None:
        total = slot.moved + count
        slot.count(total // PAGE, total)

    {"iperf3": run_iperf3, "file": run_file}[kind](direction, where, seconds, report)


def main() -> int:
    """Run the transfer; exit code 0 if it finished."""
    kind, direction, where, seconds = *sys.argv[2:5], float(sys.argv[5])
    progress = ProgressFile(sys.argv[1], 1)
    slot = progress.slot(0)
    rename("transfer")
    lead()
    as_far_as_possible(lock)  # the transfer may be slow under pressure, but not the counting
    progress.announce()
    begun = time.monotonic()
    good = slot.work("transfer", lambda: transfer(slot, kind, direction, where, seconds))
    sum_up(slot.operations, begun)
    return 0 if good else 1
