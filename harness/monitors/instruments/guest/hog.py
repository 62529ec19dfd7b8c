#!/usr/bin/env python3
"""Holds memory, and goes on touching it, so that whatever else runs on the host has that much less.

Runs on the host under test; standard library only. The state file is shared memory; text of fixed width that is
rewritten in place: "run" or "stop" (whoever writes that ends the hog), then a line with this process, how many bytes it
filled, and how often it touched all of it since.

usage: hog.py STATE BYTES anonymous|shmem [AFTER_S]
"""

from __future__ import annotations

import mmap
import os
import sys
import time

RUN, STOP = b"run \n", b"stop"
LINE = b"%10d %20d %20d\n"
PIECE = 256 * 1024
PAUSE_S = 0.005  # after each piece that is touched: it should hold memory, and leave the processors alone
KINDS = {"anonymous": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, "shmem": mmap.MAP_SHARED | mmap.MAP_ANONYMOUS}


def hold(state: mmap.mmap, size: int, kind: str) -> None:
    """Fill `size` bytes, then touch each page again and again; returns when it is told to stop."""
    area = mmap.mmap(-1, size, flags=KINDS[kind])
    noise = os.urandom(PIECE)  # so that zswap, where it is on, cannot shrink it to nothing
    rounds = 0
    for filled in range(0, size, PIECE):
        if state[: len(STOP)] == STOP:
            return
        piece = min(PIECE, size - filled)
        area[filled : filled + piece] = noise[:piece]
        note(state, filled + piece, rounds)
    while True:
        for begin in range(0, size, PIECE):
            if state[: len(STOP)] == STOP:
                return
            for page in range(begin, min(begin + PIECE, size), mmap.PAGESIZE):
                area[page] = rounds & 0xFF
            time.sleep(PAUSE_S)
        rounds += 1
        note(state, size, rounds)


def note(state: mmap.mmap, filled: int, rounds: int) -> None:
    """Rewrite the second line of the state file."""
    text = LINE % (os.getpid(), filled, rounds)
    state[len(RUN) : len(RUN) + len(text)] = text


def main() -> None:
    """Hold it until somebody says stop."""
    with open("/proc/self/comm", "w") as comm:
        comm.write("hog")  # so that the OOM killer's line names it
    with open(sys.argv[1], "r+b") as file:
        state = mmap.mmap(file.fileno(), 0)
    time.sleep(float(sys.argv[4]) if len(sys.argv) > 4 else 0.0)
    hold(state, int(sys.argv[2]), sys.argv[3])


if __name__ == "__main__":
    main()
