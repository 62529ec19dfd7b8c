"""Watches the TCP sockets of a transfer on its own host, and records when they stop moving data.

Runs on the host under test; standard library only. It is locked in memory and an IO flusher (PR_SET_IO_FLUSHER), so the
kernel's allocations for its requests never wait for the very writeback that it observes.

usage: sockets.py watch BOARD STALL_S PEER PORT[,PORT...]   sockets to or from these ports of PEER, and a ping-pong
       sockets.py answer ADDRESS                            the other end of the ping-pong

The first line of the board is "wait" once the first sample is on it: then everything that the watch needs is in memory,
including the kernel's modules. Writing "run" there starts the count, "stop" ends it. The next line is `JSON*CRC32` and
trailing blanks, rewritten in place with every sample; harness/monitors/instruments/sockets.py reads it. All times are
in seconds of the monotonic clock.
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

BOARD_SIZE = 16 * 1024  # less than the agent's limit for a file
INTERVAL_S = 0.5
WAIT_S = 0.1
STACK = 128 * 1024


def checked(record: dict[str, Any]) -> bytes:
    """A record in the format of the board."""
    text = json.dumps(record, separators=(",", ":")).encode()
    return b"%s*%08x" % (text, binascii.crc32(text))


def put(board: Board, record: dict[str, Any]) -> None:
    """Rewrite the board; without the samples if the record is too long."""
    text = checked(record)
    if len(text) > board.size:
        text = checked({**record, "samples": {}})
    board.put(text[: board.size].ljust(board.size))


def watch(path: str, stall_s: float, peer: str, ports: set[int]) -> None:
    """Take samples until the order to stop."""
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
    """Run the command of the command line."""
    if sys.argv[1] == "answer":
        answer(sys.argv[2])
    else:
        watch(sys.argv[2], float(sys.argv[3]), sys.argv[4], {int(port) for port in sys.argv[5].split(",")})
