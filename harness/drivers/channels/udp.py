"""UDP: the agent of an owned host sends first, and gets its orders at the address that was seen.

A datagram is `MAC line`. The MAC is BLAKE2s with the token of the run as key, over the direction and the line, so that
a stranger can neither give orders nor pretend to be the agent; what is said can be read on the network.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import socket
import threading
from collections.abc import Callable

from harness.drivers.agent_link import checked
from harness.model.clock import Deadline
from harness.model.errors import InfraError

DATAGRAM = 65535
LONGEST = 65507  # bytes that a UDP datagram over IPv4 carries


class UdpTransport:
    """Listens on a port of this machine. Loses datagrams, so an order is sent again until it is answered."""

    name = "UDP"
    silence_is_proof = False
    repeat_s: float | None = 1.0

    def __init__(self, port: int, token: str, sink: Callable[[bytes], None], *, address: str = "0.0.0.0") -> None:
        if not token:
            raise InfraError("a UDP channel to an agent needs a token")
        self._key = hashlib.blake2s(token.encode()).digest()
        self._sink = sink
        self._closed = False
        self.error: Exception | None = None
        self.refused = 0  # datagrams of strangers, and damaged ones
        self.peer: tuple[str, int] | None = None
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.bind((address, port))
        except OSError as error:
            self._socket.close()
            raise InfraError(f"cannot listen on UDP {address}:{port}: {error.strerror}") from error
        self._socket.settimeout(0.5)
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._read, name=f"udp {self.port}", daemon=True)
        self._thread.start()

    def _mac(self, direction: bytes, line: bytes) -> bytes:
        return hashlib.blake2s(direction + line, key=self._key, digest_size=16).hexdigest().encode()

    def _read(self) -> None:
        while not self._closed:
            try:
                data, sender = self._socket.recvfrom(DATAGRAM)
            except OSError:  # the time-out, or an ICMP error of an order that nobody took
                continue
            mac, _, line = data.partition(b" ")
            if not hmac.compare_digest(mac, self._mac(b"record ", line)):
                self.refused += 1
                continue
            self.peer = sender
            try:
                self._sink(line)
            except Exception as error:
                self.error = self.error or error

    def send(self, order: bytes, *, deadline: Deadline) -> bool:
        """See `AgentTransport.send`; waits for a first record, which tells where the agent is."""
        while self.peer is None:
            if deadline.passed:
                return False
            deadline.clock.sleep(0.05)
        line = checked(order)
        data = self._mac(b"order ", line) + b" " + line
        if len(data) > LONGEST:
            raise InfraError(f"an order of {len(order)} bytes does not fit into a datagram")
        with contextlib.suppress(OSError):  # as good as lost on its way; it is sent again
            self._socket.sendto(data, self.peer)
        return True

    def close(self) -> None:
        """See `AgentChannel.close`."""
        self._closed = True
        self._thread.join(timeout=2.0)
        self._socket.close()
