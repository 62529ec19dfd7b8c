"""Holds memory and keeps touching it, so that less is left for other processes of the host.

Runs on the host under test; standard library only. The state file is shared memory with text of fixed width that is
rewritten in place: "run" or "stop" (writing "stop" ends the hog), then a line with its pid, the bytes filled, and how
often it has touched all of them since.

usage: hog.py STATE BYTES anonymous|shmem [AFTER_S]
"""

from __future__ import annotations

import mmap
import os
import sys
import time

from harness.guest.board import STOP, Board
from harness.guest.processes import rename

LINE = b"%10d %20d %20d\n"
SIZE = len(LINE % (0, 0, 0))  # below the first line
PIECE = 256 * 1024
PAUSE_S = 0.005  # after each piece that is touched: the hog holds memory, but spares the processors
KINDS = {"anonymous": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, "shmem": mmap.MAP_SHARED | mmap.MAP_ANONYMOUS}


def hold(state: Board, size: int, kind: str) -> None:
    """Fill `size` bytes, then touch each page again and again; returns on the order to stop."""
    area = mmap.mmap(-1, size, flags=KINDS[kind])
    noise = os.urandom(PIECE)  # so that zswap, if it is on, cannot compress it
    rounds = 0
    for filled in range(0, size, PIECE):
        if state.says(STOP):
            return
        piece = min(PIECE, size - filled)
        area[filled : filled + piece] = noise[:piece]
        note(state, filled + piece, rounds)
    while True:
        for begin in range(0, size, PIECE):
            if state.says(STOP):
                return
            for page in range(begin, min(begin + PIECE, size), mmap.PAGESIZE):
                area[page] = rounds & 0xFF
            time.sleep(PAUSE_S)
        rounds += 1
        note(state, size, rounds)


def note(state: Board, filled: int, rounds: int) -> None:
    """Rewrite the second line of the state file."""
    state.put(LINE % (os.getpid(), filled, rounds))


def main() -> None:
    """Hold the memory until the order to stop."""
    rename("hog")
    state = Board(sys.argv[1], SIZE)
    time.sleep(float(sys.argv[4]) if len(sys.argv) > 4 else 0.0)
    hold(state, int(sys.argv[2]), sys.argv[3])
