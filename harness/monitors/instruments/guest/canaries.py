"""Canaries: timed everyday actions, which show how responsive a machine is under a load.

Each canary is a process of normal priority without locked memory; only the board with their times is locked. Runs on
the host under test; standard library only.

usage: canaries.py BOARD SECONDS NAME=ARGUMENT...
  fork=        starts /bin/true and waits for it
  date=        starts /bin/date
  ls=TREE      starts /bin/ls -lR TREE
  writer=FILE  appends 4 KiB to FILE and waits until it is on the disk
With SECONDS other than 0 it ends after that time.

The board is text, so it can be read over any channel; `harness/monitors/instruments/board.py` reads it. Its first line
is "run"; writing "stop" there ends the canaries. A line for each canary follows, with cells of fixed width that are
rewritten in place: name, samples, failures, worst (µs), when the worst began, when the sample under way began or 0
(both in ms of the monotonic clock), and the number of samples in each bucket. Bucket 0 is below 1 ms, bucket n > 0 is
from 2^((n-1)/4) ms on.
"""

from __future__ import annotations

import math
import os
import sys
import time
from functools import partial

from harness.guest.board import RUN, STOP, Board
from harness.guest.memory import as_far_as_possible, lock_area
from harness.guest.processes import fork_all, run

TYPE_CHECKING = False  # what type checkers take for true; nothing is imported for it on the host
if TYPE_CHECKING:
    from collections.abc import Callable

    Canary = Callable[[], None]

BUCKETS, PER_DOUBLING = 82, 4  # up to 18 minutes
NAME, CELL = 16, 12  # bytes, each with a blank at its end
FIELDS = 5  # samples, failures, worst, worst at, under way since
LINE = NAME + CELL * (FIELDS + BUCKETS)  # the last blank is the line's end
PERIOD_S = {"writer": 0.1, "fork": 0.5, "date": 0.5, "ls": 1.0}
ROOM = 16 * 1024 * 1024  # the writer's file wraps here
BLOCK = b"canary\n\0" * 512


def bucket_of(microseconds: int) -> int:
    """The bucket of a time."""
    if microseconds < 1000:
        return 0
    return min(BUCKETS - 1, 1 + int(PER_DOUBLING * math.log2(microseconds / 1000)))


class Row:
    """One canary's line of the board."""

    def __init__(self, board: Board, index: int, name: str) -> None:
        self.board, self.begin = board, index * LINE
        board.put(name.ljust(NAME).encode(), self.begin)
        self.values = [0] * (FIELDS + BUCKETS)
        for cell in range(len(self.values)):
            self.put(cell, 0)
        board.put(b"\n", self.begin + LINE - 1)

    def put(self, cell: int, value: int) -> None:
        """Rewrite one cell; the blank after it stays."""
        self.values[cell] = value
        at = self.begin + NAME + cell * CELL
        self.board.put(b"%11d" % value, at)
        if cell < len(self.values) - 1:
            self.board.put(b" ", at + CELL - 1)

    def start(self, now: float) -> None:
        """A sample begins."""
        self.put(4, int(now * 1000))

    def end(self, begun: float, now: float, failed: bool) -> None:
        """A sample is over; its duration counts even if it failed."""
        took = int((now - begun) * 1e6)
        self.put(0, self.values[0] + 1)
        self.put(1, self.values[1] + failed)
        if took > self.values[2]:
            self.put(2, took)
            self.put(3, int(begun * 1000))
        self.put(FIELDS + bucket_of(took), self.values[FIELDS + bucket_of(took)] + 1)
        self.put(4, 0)


def writer(path: str) -> Canary:
    """A canary that appends a block and waits for the disk, like a program that keeps a log."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    written = 0

    def sample() -> None:
        nonlocal written
        if written >= ROOM:
            os.ftruncate(fd, 0)
            written = 0
        os.pwrite(fd, BLOCK, written)
        os.fdatasync(fd)
        written += len(BLOCK)

    return sample


def make(name: str, argument: str) -> Canary:
    """The action that a canary repeats."""
    if name == "writer":
        return writer(argument)
    commands = {"fork": ["/bin/true"], "date": ["/bin/date"], "ls": ["/bin/ls", "-lR", argument]}
    return lambda: run(commands[name], quiet=True)


def keep(canary: Canary, row: Row, period: float, seconds: float) -> None:
    """One canary's process, until it is killed or its time is over."""
    end = time.monotonic() + seconds if seconds else float("inf")
    while (begun := time.monotonic()) < end and not row.board.says(STOP):
        row.start(begun)
        failed = False
        try:
            canary()
        except OSError as error:
            failed = True
            print(f"{canary}: {error!r}", flush=True)
        now = time.monotonic()
        row.end(begun, now, failed)
        time.sleep(max(0.0, begun + period - now))


def main() -> int:
    """Start the canaries and wait for them; exit code 0 if every one finished."""
    path, seconds = sys.argv[1], float(sys.argv[2])
    wanted = [word.partition("=")[::2] for word in sys.argv[3:]]
    board = Board(path, LINE * len(wanted))
    as_far_as_possible(partial(lock_area, board.memory))
    board.say(RUN)
    rows = [Row(board, index, name) for index, (name, _) in enumerate(wanted)]

    def one(number: int) -> bool:
        name, argument = wanted[number]
        keep(make(name, argument), rows[number], PERIOD_S[name], seconds)
        return True

    return 0 if fork_all(len(wanted), one) else 1
