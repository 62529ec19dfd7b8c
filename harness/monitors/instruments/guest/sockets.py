"""Watches the TCP sockets of a transfer from its own host, and notes when they stop moving.

Runs on the host under test; standard library only. It is locked in memory, and says that it serves I/O, so that what
the kernel allocates for its questions never waits for writeback, which is what it looks at.

usage: sockets.py watch BOARD STALL_S PEER PORT[,PORT...]   sockets to or from these ports of PEER, and a ping-pong
       sockets.py answer ADDRESS                            the other end of the ping-pong

The board says "wait" once the first sample is on it: then everything that the watch needs is in memory, the kernel's
modules among it. Whoever writes "run" there has it begin, and "stop" ends it. Below that is `JSON*CRC32` and blanks
behind it, rewritten in place with every sample; harness/monitors/instruments/sockets.py reads it. All times are of the
monotonic clock, in seconds.
"""

from __future__ import annotations

import binascii
import json
import os
import sys
import threading
import time

from harness.guest.board import STOP, WAIT, Board
from harness.guest.memory import as_far_as_possible, lock, never_kill, serve_io
from harness.monitors.instruments.guest.ping_pong import answer
from harness.monitors.instruments.guest.socket_record import Watch

TYPE_CHECKING = False  # what type checkers take for true; nothing is imported for it on the host
if TYPE_CHECKING:
    from typing import Any

BOARD_SIZE = 16 * 1024  # below what the agent reads of a file
INTERVAL_S = 0.5
WAIT_S = 0.1
STACK = 128 * 1024


def checked(record: dict[str, Any]) -> bytes:
    """A record as it stands on a board."""
    text = json.dumps(record, separators=(",", ":")).encode()
    return b"%s*%08x" % (text, binascii.crc32(text))


def put(board: Board, record: dict[str, Any]) -> None:
    """Rewrite the board; where it is too much, without the samples."""
    text = checked(record)
    if len(text) > board.size:
        text = checked({**record, "samples": {}})
    board.put(text[: board.size].ljust(board.size))


def watch(path: str, stall_s: float, peer: str, ports: set[int]) -> None:
    """Take samples until somebody says stop."""
    board = Board(path, BOARD_SIZE)
    seen = Watch(stall_s, peer, ports)
    as_far_as_possible(lock, serve_io, never_kill)
    threading.stack_size(STACK)  # all of it is locked
    threading.Thread(target=seen.ping.run, daemon=True).start()
    seen.look()
    put(board, seen.record())
    board.say(WAIT)
    while board.says(WAIT):
        time.sleep(WAIT_S)
    seen.begin()
    while not board.says(STOP):
        seen.look()
        put(board, seen.record())
        time.sleep(INTERVAL_S)
    os.unlink(path)


def main() -> None:
    """Do what the command line says."""
    if sys.argv[1] == "answer":
        answer(sys.argv[2])
    else:
        watch(sys.argv[2], float(sys.argv[3]), sys.argv[4], {int(port) for port in sys.argv[5].split(",")})
