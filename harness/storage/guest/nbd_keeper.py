"""Connects a network block device with dead_conn_timeout, and reconnects it; nbd-client of Debian 12 does neither.

The kernel makes requests wait dead_conn_timeout for a new connection (drivers/block/nbd.c, wait_for_reconnect). It
reports a dead connection to a multicast group of its netlink family. This script listens there, dials again and hands
over the new socket. Runs on the host under test; standard library only.

The script returns once the device is connected. "leave" leaves no process behind, "keep" one that reconnects. With
"guard" that process is also protected from the memory shortage that comes with swap on the device.

usage: nbd_keeper DEVICE ADDRESS PORT EXPORT BLOCK TIMEOUT_S DEAD_CONN_TIMEOUT_S leave|keep|guard LOG
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
import time

from harness.guest.memory import lock, never_kill, serve_io

TYPE_CHECKING = False  # what type checkers take for true; nothing is imported for it on the host
if TYPE_CHECKING:
    from collections.abc import Iterator

# include/uapi/linux/netlink.h and genetlink.h
SOL_NETLINK, ADD_MEMBERSHIP, NETLINK_GENERIC = 270, 1, 16
REQUEST, ACK = 1, 4
ERROR = 2
CONTROL, GET_FAMILY, FAMILY_ID, FAMILY_NAME, GROUPS, GROUP_NAME, GROUP_ID = 16, 3, 1, 2, 7, 1, 2
HEADER, GENERIC, ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=BBH"), struct.Struct("=HH")
NESTED, KIND = 0x8000, 0x3FFF
# include/uapi/linux/nbd-netlink.h
CONNECT, RECONFIGURE, LINK_DEAD = 1, 3, 4
INDEX, SIZE, BLOCK, TIMEOUT, FLAGS, SOCKETS, DEAD_CONN_TIMEOUT = 1, 2, 3, 4, 5, 7, 8
ITEM, DESCRIPTOR = 1, 1
# Fixed newstyle handshake, https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md
GREETING = b"NBDMAGICIHAVEOPT"
FIXED_NEWSTYLE, NO_ZEROES, EXPORT_NAME = 1, 2, 1
DIAL_S, TALK_S = 5.0, 30.0  # a server that has just started may answer its first client late
PAUSE_S = 0.5


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute of a netlink message, padded to four bytes."""
    return ATTRIBUTE.pack(ATTRIBUTE.size + len(value), kind) + value + b"\0" * (-len(value) % 4)


def number(kind: int, value: int) -> bytes:
    """An attribute of 64 bits."""
    return attribute(kind, struct.pack("=Q", value))


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type (without flags) and value of each attribute in a message."""
    while len(data) >= ATTRIBUTE.size:
        length, kind = ATTRIBUTE.unpack_from(data)
        if length < ATTRIBUTE.size:
            return
        yield kind & KIND, data[ATTRIBUTE.size : length]
        data = data[(length + 3) & ~3 :]


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and content of the messages in one read of a netlink socket."""
    while len(data) >= HEADER.size:
        length, kind, _, _, _ = HEADER.unpack_from(data)
        yield kind, data[HEADER.size : length]
        data = data[(length + 3) & ~3 :]


def ask(link: socket.socket, family: int, command: int, content: bytes) -> bytes:
    """Send a request and return the content of the answer, b"" if it is only an acknowledgement; raises OSError."""
    body = GENERIC.pack(command, 1, 0) + content
    link.send(HEADER.pack(HEADER.size + len(body), family, REQUEST | ACK, 1, 0) + body)
    answer = b""
    while True:
        for kind, data in messages(link.recv(65536)):
            if kind != ERROR:
                answer = data[GENERIC.size :]
            elif code := -struct.unpack_from("=i", data)[0]:
                raise OSError(code, os.strerror(code))
            else:
                return answer


def find_family(link: socket.socket) -> tuple[int, int]:
    """Numbers of the family "nbd" and of its multicast group."""
    found = dict(attributes(ask(link, CONTROL, GET_FAMILY, attribute(FAMILY_NAME, b"nbd\0"))))
    _, group = next(attributes(found[GROUPS]))
    return struct.unpack("=H", found[FAMILY_ID])[0], struct.unpack("=I", dict(attributes(group))[GROUP_ID])[0]


def receive(connection: socket.socket, size: int) -> bytes:
    """Exactly `size` bytes."""
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise ConnectionResetError("the server closed the connection")
        data += part
    return data


def dial(address: str, port: int, export: str) -> tuple[socket.socket, int, int]:
    """Connect and negotiate the export; returns the socket, the size and the flags. Raises OSError."""
    connection = socket.create_connection((address, port), timeout=DIAL_S)
    connection.settimeout(TALK_S)
    try:
        if not receive(connection, 18).startswith(GREETING):
            raise ConnectionRefusedError("this is no NBD server")
        name = export.encode()
        connection.sendall(struct.pack(">I", FIXED_NEWSTYLE | NO_ZEROES))
        connection.sendall(GREETING[8:] + struct.pack(">II", EXPORT_NAME, len(name)) + name)
        size, flags = struct.unpack(">QH", receive(connection, 10))
    except BaseException:
        connection.close()
        raise
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.settimeout(None)
    return connection, size, flags


def sockets(connection: socket.socket) -> bytes:
    """The attribute that hands a socket to the kernel."""
    descriptor = attribute(DESCRIPTOR, struct.pack("=I", connection.fileno()))
    return attribute(SOCKETS | NESTED, attribute(ITEM | NESTED, descriptor))


def dies(events: socket.socket, index: int) -> None:
    """Wait until the kernel reports a dead connection of the device."""
    while True:
        for _, data in messages(events.recv(65536)):
            command = GENERIC.unpack_from(data)[0]
            found = dict(attributes(data[GENERIC.size :]))
            if command == LINK_DEAD and struct.unpack("=I", found[INDEX])[0] == index:
                return


def keep(link: socket.socket, events: socket.socket, family: int, index: int, server: tuple[str, int, str]) -> None:
    """Replace every connection that dies; returns when the kernel has given the device up."""
    device = attribute(INDEX, struct.pack("=I", index))
    while True:
        dies(events, index)
        print(f"{time.monotonic():.2f} lost", flush=True)
        while True:
            try:
                connection, _, _ = dial(*server)
                break
            except OSError:
                time.sleep(PAUSE_S)
        with connection:
            try:
                ask(link, family, RECONFIGURE, device + sockets(connection))
                print(f"{time.monotonic():.2f} connected again", flush=True)
            except OSError as error:
                print(f"{time.monotonic():.2f} not taken: {error}", flush=True)
                if error.errno != errno.ENOSPC:  # ENOSPC: no connection is dead any more
                    return


def guard() -> None:
    """Lock this process in memory, exempt it from the OOM killer and make it an IO flusher, in this order.

    As an IO flusher its allocations never wait for I/O; the page-ins of locking may. Raises OSError if one is refused.
    """
    lock()
    never_kill()
    serve_io()


def main() -> None:
    """Connect, and leave a process behind that keeps the device connected."""
    index = int(sys.argv[1].removeprefix("/dev/nbd"))
    address, port, export = sys.argv[2], int(sys.argv[3]), sys.argv[4]
    block, timeout, dead_conn_timeout = (int(word) for word in sys.argv[5:8])
    link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC)
    events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC)
    family, group = find_family(link)
    events.bind((0, 0))  # an unbound socket receives no multicast
    events.setsockopt(SOL_NETLINK, ADD_MEMBERSHIP, group)
    connection, size, flags = dial(address, port, export)
    with connection:
        device = attribute(INDEX, struct.pack("=I", index)) + number(SIZE, size) + number(BLOCK, block)
        waits = number(TIMEOUT, timeout) + number(DEAD_CONN_TIMEOUT, dead_conn_timeout)
        ask(link, family, CONNECT, device + waits + number(FLAGS, flags) + sockets(connection))
    if sys.argv[8] == "leave" or os.fork():
        return
    os.setsid()
    log = os.open(sys.argv[9], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for descriptor, target in ((os.open("/dev/null", os.O_RDONLY), 0), (log, 1), (log, 2)):
        os.dup2(descriptor, target)
    with open("/proc/self/comm", "w") as comm:
        comm.write("nbd-keeper")  # the name in the OOM killer's line
    if sys.argv[8] == "guard":
        guard()
    keep(link, events, family, index, (address, port, export))
