"""The state of the kernel's TCP sockets, like `ss -tin`, over sock_diag(7) and without a separate process."""

from __future__ import annotations

import socket
import struct

TYPE_CHECKING = False  # what type checkers take for true; nothing is imported for it on the host
if TYPE_CHECKING:
    from collections.abc import Iterator

    Key = tuple[int, int]  # local port, peer's port
    Sample = dict[str, int]

# include/uapi/linux/netlink.h, sock_diag.h, inet_diag.h; ESTABLISHED is state 1
NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, INET_DIAG_INFO = 4, 20, 2
NLM_F_REQUEST, NLM_F_DUMP, NLMSG_DONE = 0x1, 0x300, 3
HEADER = struct.Struct("=IHHII")
REQUEST = struct.Struct("=BBBBI48x")
MESSAGE = struct.Struct("=BBBB4x16s16s4xQIIIII")  # struct inet_diag_msg but for the ports, which are big-endian
PORTS = struct.Struct(">HH")
ATTRIBUTE = struct.Struct("=HH")
ESTABLISHED = 1
# struct tcp_info (include/uapi/linux/tcp.h): offsets and types of the fields shown
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
    """The fields of TCP_INFO in the attributes after a message; those that an older kernel lacks are missing."""
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
    """Ports, peer's address and state of one socket."""
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
        """The sockets with `peer` that have one of `ports` at either end."""
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
