#!/usr/bin/env python3
"""A long transfer in one direction.

Runs on the host under test; standard library only. Progress goes through a shared file whose layout docs/agent.md
gives; one operation is 4 KiB that moved.

usage: transfer.py PROGRESS KIND DIRECTION WHERE SECONDS
  iperf3   to or from the server at WHERE, address:port
  file     WHERE is written through the page cache (outgoing; an fsync at the end) or read (incoming), again and again;
           what is cached of it goes before each time that it is read
It ends after SECONDS, and prints how many operations it did in how many.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import re
import struct
import subprocess
import sys
import time

TYPE_CHECKING = False  # what type checkers take for true; nothing is imported for it on the host
if TYPE_CHECKING:
    from collections.abc import Callable

    Report = Callable[[int], None]  # is told how many bytes moved

HEADER = struct.Struct("=8sIIII")
MAGIC = b"HRNSPRG1"
WORKER = struct.Struct("=QQII")
SLOT = 64
COUNTS = struct.Struct("=QQ")
OPERATION = 4096
RUNNING, FINISHED, FAILED = 1, 2, 3
MCL_CURRENT, MCL_FUTURE = 1, 2
BLOCK = 64 * 1024
EVERY_S = 0.2  # iperf3 takes no less than 0.1
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
# "[  5]   0.20-0.40   sec   640 KBytes  26.2 Mbits/sec" is an interval; the sums at the end have a role behind them
INTERVAL = re.compile(rb"^\[ *\d+\] +([\d.]+)-([\d.]+) +sec +([\d.]+) ([KMG]?)Bytes .*?(sender|receiver)?\s*$")


def moved(line: bytes) -> int:
    """Bytes that a line of iperf3 says were moved in its interval; 0 for any other line."""
    found = INTERVAL.match(line)
    if found is None or found[5]:
        return 0
    return int(float(found[3]) * UNITS[found[4].decode()])


def run_iperf3(direction: str, where: str, seconds: float, report: Report) -> None:
    """Transfers with iperf3; raises OSError with its last line if it fails."""
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
    """Writes or reads a file from its beginning to its end, again and again."""
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


def transfer(shared: mmap.mmap, kind: str, direction: str, where: str, seconds: float) -> bool:
    """The transfer, counted; whether it came to its end."""
    total = 0

    def report(count: int) -> None:
        nonlocal total
        total += count
        COUNTS.pack_into(shared, 64, total // OPERATION, total)

    WORKER.pack_into(shared, 64, 0, 0, RUNNING, os.getpid())
    state = FAILED
    try:
        {"iperf3": run_iperf3, "file": run_file}[kind](direction, where, seconds, report)
        state = FINISHED
    except Exception as error:  # whatever it is: a transfer that just vanished would look like one that hangs
        print(f"transfer: {error!r}", flush=True)
    WORKER.pack_into(shared, 64, total // OPERATION, total, state, os.getpid())
    return state == FINISHED


def lock() -> None:
    """Keep this process in memory: the transfer may be slow under pressure, counting it must not be."""
    if ctypes.CDLL(None).mlockall(MCL_CURRENT | MCL_FUTURE):
        print("transfer: not locked in memory", flush=True)


def main() -> int:
    """Make the transfer; exit code 0 if it came to its end."""
    progress, kind, direction, where, seconds = *sys.argv[1:5], float(sys.argv[5])
    with open(progress, "r+b") as file:
        shared = mmap.mmap(file.fileno(), 64 + SLOT)
    with open("/proc/self/comm", "w") as comm:
        comm.write("transfer")  # so that the OOM killer's line names the load
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)
    lock()
    HEADER.pack_into(shared, 0, MAGIC, 1, SLOT, os.getpgrp(), 0)
    begun = time.monotonic()
    good = transfer(shared, kind, direction, where, seconds)
    done = COUNTS.unpack_from(shared, 64)[0]
    print(f"{done} operations in {time.monotonic() - begun:.3f} s", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
