#!/usr/bin/env python3
"""Watches the TCP sockets of a transfer from its own host, and notes when they stop moving.

Runs on the host under test; standard library only. It asks the kernel for what `ss -tin` shows (sock_diag(7)), which
starts no process. It is locked in memory, and says that it serves I/O (PR_SET_IO_FLUSHER), so that what the kernel
allocates for its questions never waits for writeback, which is what it looks at.

usage: sockets.py watch BOARD STALL_S PEER PORT[,PORT...]   sockets to or from these ports of PEER, and a ping-pong
       sockets.py answer ADDRESS                            the other end of the ping-pong

The board is `JSON*CRC32` and blanks behind it, rewritten in place with every sample; whoever writes "stop" at its
beginning ends the watch. harness/monitors/instruments/sockets.py reads it. All times are of the monotonic clock, in
seconds.
"""

from __future__ import annotations

import binascii
import contextlib
import ctypes
import json
import mmap
import os
import socket
import struct
import sys
import threading
import time

TYPE_CHECKING = False  # what type checkers take for true; nothing is imported for it on the host
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Key = tuple[int, int]  # ports, ours and the peer's
    Sample = dict[str, int]

STOP = b"stop"
MODULE = "tcp_diag"
BOARD_SIZE = 16 * 1024  # below what the agent reads of a file
INTERVAL_S = 0.5
LISTING_S = 5.0  # how often new kernel threads are looked for
PING_PORT = 7079  # the agent's echo has 7077
PING_S = 0.5
KEPT_SAMPLES = 10
STACK = 128 * 1024
KEPT_STALLS = 40
MOVED = 256 * 1024  # bytes after which a direction is one in which something is transferred
DIRECTIONS = {"outgoing": "acked", "incoming": "received"}

# include/uapi/linux/netlink.h, sock_diag.h, inet_diag.h; ESTABLISHED is state 1
NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, INET_DIAG_INFO = 4, 20, 2
NLM_F_REQUEST, NLM_F_DUMP, NLMSG_DONE = 0x1, 0x300, 3
HEADER = struct.Struct("=IHHII")
REQUEST = struct.Struct("=BBBBI48x")
MESSAGE = struct.Struct("=BBBB4x16s16s4xQIIIII")  # struct inet_diag_msg but for the ports, which are big-endian
PORTS = struct.Struct(">HH")
ATTRIBUTE = struct.Struct("=HH")
ESTABLISHED = 1
# struct tcp_info (include/uapi/linux/tcp.h): where what is shown lies
TCP_INFO = {
    "backoff": (4, "B"),
    "rto_us": (8, "I"),
    "unacked": (24, "I"),
    "last_send_ms": (44, "I"),
    "last_receive_ms": (52, "I"),
    "rtt_us": (68, "I"),
    "retransmits": (100, "I"),
    "acked": (120, "Q"),
    "received": (128, "Q"),
}
PR_SET_IO_FLUSHER = 57
MCL_CURRENT, MCL_FUTURE = 1, 2
LIBC = ctypes.CDLL(None, use_errno=True)
TICKS = os.sysconf("SC_CLK_TCK")


def protect() -> None:
    """Lock everything in memory, and never wait for writeback; what the kernel refuses is printed and does no harm."""
    if LIBC.mlockall(MCL_CURRENT | MCL_FUTURE):
        print("mlockall:", os.strerror(ctypes.get_errno()), flush=True)
    if LIBC.prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0):
        print("PR_SET_IO_FLUSHER:", os.strerror(ctypes.get_errno()), flush=True)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write("-1000")


# --- sockets


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and content of every netlink message in a datagram."""
    offset = 0
    while offset + HEADER.size <= len(data):
        length, kind, _, _, _ = HEADER.unpack_from(data, offset)
        if length < HEADER.size:
            return
        yield kind, data[offset + HEADER.size : offset + length]
        offset += (length + 3) & ~3


def tcp_info(attributes: bytes) -> Sample:
    """What TCP_INFO says, from the attributes behind a message; fields that the kernel is too old for are missing."""
    offset = 0
    while offset + ATTRIBUTE.size <= len(attributes):
        length, kind = ATTRIBUTE.unpack_from(attributes, offset)
        if length < ATTRIBUTE.size:
            break
        if kind == INET_DIAG_INFO:
            data = attributes[offset + ATTRIBUTE.size : offset + length]
            return {
                name: struct.unpack_from("=" + form, data, at)[0]
                for name, (at, form) in TCP_INFO.items()
                if at + struct.calcsize("=" + form) <= len(data)
            }
        offset += (length + 3) & ~3
    return {}


def read_socket(content: bytes) -> tuple[Key, str, Sample]:
    """Ports, the peer's address and state of one socket."""
    _, state, timer, retries, _, peer, _, expires, receive_queue, send_queue, _, _ = MESSAGE.unpack_from(content)
    sample = {"state": state, "timer": timer, "retries": retries, "timer_ms": expires}
    sample |= {"receive_queue": receive_queue, "send_queue": send_queue}
    own, other = PORTS.unpack_from(content, 4)
    return (own, other), socket.inet_ntoa(peer[:4]), sample | tcp_info(content[MESSAGE.size :])


class Diag:
    """Asks for all established TCP sockets of IPv4."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG)
        body = REQUEST.pack(socket.AF_INET, socket.IPPROTO_TCP, 1 << (INET_DIAG_INFO - 1), 0, 1 << ESTABLISHED)
        head = HEADER.pack(HEADER.size + len(body), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, 0, 0)
        self.request = head + body

    def sockets(self, peer: str, ports: set[int]) -> dict[Key, Sample]:
        """Those between this host and one of `ports` of `peer`, or one of these ports here."""
        self.socket.send(self.request)
        found: dict[Key, Sample] = {}
        while True:
            for kind, content in messages(self.socket.recv(65536)):
                if kind == NLMSG_DONE:
                    return found
                if kind != SOCK_DIAG_BY_FAMILY or len(content) < MESSAGE.size:
                    raise OSError(f"sock_diag answers with message {kind}")
                key, address, sample = read_socket(content)
                if address == peer and ports & set(key):
                    found[key] = sample


# --- stalls


class Direction:
    """When bytes last moved one way, and the times for which they did not."""

    def __init__(self, stall_s: float) -> None:
        self.stall_s = stall_s
        self.total = 0
        self.last: dict[Key, int] = {}
        self.moved_at: float | None = None
        self.stalls: list[list[float]] = []
        self.count = 0

    def look(self, now: float, values: dict[Key, int]) -> None:
        """Take a sample: cumulative bytes of every socket there is. Without any, nobody waits for bytes."""
        moved = sum(max(0, value - self.last.get(key, 0)) for key, value in values.items())
        self.last = values
        self.total += moved
        if moved or not values:
            self.close(now)
            self.moved_at = now if values else None

    def close(self, now: float) -> None:
        """Bytes moved again."""
        since = self.moved_at
        if since is not None and self.busy and now - since >= self.stall_s:
            self.count += 1
            self.stalls = [*self.stalls[-KEPT_STALLS + 1 :], [round(since, 2), round(now - since, 2)]]

    @property
    def busy(self) -> bool:
        """Whether this is a direction of the transfer, and not the one of its acknowledgements."""
        return self.total >= MOVED

    def record(self) -> dict[str, Any]:
        """For the board."""
        since = self.moved_at if self.busy else None
        return {"bytes": self.total, "count": self.count, "stalls": self.stalls, "moved_at": since}


# --- processor time of kernel threads


class Threads:
    """CPU time of kswapd and of all kworkers since the first look."""

    NAMES = ("kswapd", "kworker")

    def __init__(self) -> None:
        self.files: dict[str, tuple[str, int]] = {}
        self.last: dict[str, int] = {}
        self.used = dict.fromkeys(self.NAMES, 0)
        self.due = 0.0

    def look(self, now: float) -> None:
        """Take a sample; those that are new count from now on."""
        if now >= self.due:
            self.find()
            self.due = now + LISTING_S
        for pid, (name, fd) in list(self.files.items()):
            try:
                ticks = cpu_ticks(os.pread(fd, 1024, 0))
            except (OSError, ValueError):
                os.close(fd)  # it is gone
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
    """utime + stime of a line of /proc/<pid>/stat; the name in it may have blanks."""
    words = stat[stat.rindex(b")") + 1 :].split()
    return int(words[11]) + int(words[12])


# --- ping-pong


class Ping:
    """A byte there and back over a connection of its own, again and again; `waiting` since when, if it is under way."""

    def __init__(self, peer: str) -> None:
        self.peer = peer
        self.count, self.worst, self.worst_at = 0, 0.0, 0.0
        self.waiting: float | None = None

    def run(self) -> None:
        """Never returns; after an error it connects again."""
        while True:
            with contextlib.suppress(OSError), socket.create_connection((self.peer, PING_PORT)) as line:
                while self.exchange(line):
                    time.sleep(PING_S)
            time.sleep(PING_S)

    def exchange(self, line: socket.socket) -> bool:
        begun = self.waiting = time.monotonic()
        line.sendall(b".")
        if not line.recv(1):
            return False
        took = time.monotonic() - begun
        self.waiting = None
        self.count += 1
        if took > self.worst:
            self.worst, self.worst_at = took, begun
        return True

    def record(self) -> dict[str, Any]:
        """For the board."""
        return {"count": self.count, "worst": self.worst, "worst_at": self.worst_at, "waiting": self.waiting}


def answer(address: str) -> None:
    """Send every byte back that comes, one connection at a time; never returns."""
    with socket.create_server((address, PING_PORT)) as server:
        while True:
            with contextlib.suppress(OSError):
                line, _ = server.accept()
                with line:
                    while data := line.recv(64):
                        line.sendall(data)


# --- the board


def checked(record: dict[str, Any]) -> bytes:
    """A record as it stands on a board."""
    text = json.dumps(record, separators=(",", ":")).encode()
    return b"%s*%08x" % (text, binascii.crc32(text))


def named(key: Key) -> str:
    return f"{key[0]}-{key[1]}"


class Watch:
    """One sample after the other, and what they amount to."""

    def __init__(self, stall_s: float, peer: str, ports: set[int]) -> None:
        self.diag, self.threads, self.ping = Diag(), Threads(), Ping(peer)
        self.peer, self.ports = peer, ports
        self.directions = {name: Direction(stall_s) for name in DIRECTIONS}
        self.samples: dict[str, list[Sample]] = {}
        self.worst: dict[str, Any] = {}
        self.begun = self.last = time.monotonic()
        self.count, self.gap = 0, 0.0

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

    def note_worst(self, now: float, found: dict[Key, Sample]) -> None:
        """Keep what the sockets looked like at the end of the longest stall until now."""
        for name, direction in self.directions.items():
            length = now - direction.moved_at if direction.busy and direction.moved_at is not None else 0.0
            if length >= direction.stall_s and length > self.worst.get("length", 0.0):
                sockets = {named(key): sample for key, sample in found.items()}
                self.worst = {"direction": name, "length": round(length, 2), "sockets": sockets}

    def record(self) -> dict[str, Any]:
        """For the board."""
        return {
            "begun": self.begun,
            "now": self.last,
            "count": self.count,
            "gap": round(self.gap, 2),
            "directions": {name: direction.record() for name, direction in self.directions.items()},
            "worst": self.worst,
            "cpu": self.threads.seconds(),
            "ping": self.ping.record(),
            "samples": self.samples,
        }


def put(board: mmap.mmap, record: dict[str, Any]) -> None:
    """Rewrite the board; where it is too much, without the samples."""
    text = checked(record)
    if len(text) > len(board):
        text = checked({**record, "samples": {}})
    board[:] = text[: len(board)].ljust(len(board))


def watch(path: str, stall_s: float, peer: str, ports: set[int]) -> None:
    """Take samples until somebody says stop; what the kernel loaded to answer goes as well."""
    was_loaded = os.path.exists(f"/sys/module/{MODULE}")
    with open(path, "r+b") as file:
        board = mmap.mmap(file.fileno(), BOARD_SIZE)
    seen = Watch(stall_s, peer, ports)
    protect()
    threading.stack_size(STACK)  # all of it is locked
    threading.Thread(target=seen.ping.run, daemon=True).start()
    while board[: len(STOP)] != STOP:
        seen.look()
        if board[: len(STOP)] != STOP:
            put(board, seen.record())
            time.sleep(INTERVAL_S)
    seen.diag.socket.close()
    os.unlink(path)
    if not was_loaded:
        os.system(f"modprobe -q -r {MODULE}")


def main() -> None:
    """Do what the command line says."""
    if sys.argv[1] == "answer":
        answer(sys.argv[2])
    else:
        watch(sys.argv[2], float(sys.argv[3]), sys.argv[4], {int(port) for port in sys.argv[5].split(",")})


if __name__ == "__main__":
    main()
