"""A network block device (NBD), as swap or as a disk: server and client on two hosts, or on the same one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.model.measure import Measure
from harness.model.storage_protocols import NBD, StorageProtocol
from harness.model.topology import MIB, Topology
from harness.site.needs import Needs
from harness.site.target import Site
from harness.storage.base import MEMORY, ServedBy, StorageProbe, pages_per_second, serves
from harness.storage.nbd_client import HandedOver, Kept, NbdConnection, disconnect, held_by, still_held
from harness.storage.nbd_server import NbdServer

DISK = 64 * MIB
EVIDENCE = (
    "/sys/block/{device}/stat",
    "/sys/block/{device}/inflight",
    "/sys/kernel/debug/nbd/{device}/flags",
    "/sys/kernel/debug/nbd/{device}/tasks",
    "/proc/swaps",
    "/proc/buddyinfo",
    "/proc/net/tcp",
    *MEMORY,
    # Last: reading them allocates a buffer, so the reader may block when memory is short.
    "/sys/kernel/debug/block/{device}/hctx0/busy",
    "/sys/kernel/debug/block/{device}/hctx0/tags",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NbdSwap:
    """Swap of `ratio` × the client's memory on the NBD device /dev/<device>, served by the role `server`.

    The server keeps the data where `Folder` describes, but never on a scratch disk. `program` is the server program
    (`NbdServer`). `connection` is how the client holds its connection: `HandedOver`, `Held` or `Kept`.
    """

    client: str = "client"
    server: str = "server"
    ratio: float = 5.0
    device: str = "nbd0"
    program: NbdServer = field(default_factory=NbdServer)
    connection: NbdConnection = field(default_factory=HandedOver)
    _before: list[Measure] = field(default_factory=list, init=False, repr=False, compare=False)

    def describe(self) -> str:
        """See `Storage.describe`."""
        served = f"served by {self.server} ({self.program.describe()})"
        return f"swap on {self.device}, {served}, {self.connection.describe()}"

    @property
    def protocol(self) -> StorageProtocol | None:
        """See `Storage.protocol`."""
        return NBD

    def served_by(self, topology: Topology) -> ServedBy:
        """See `Storage.served_by`."""
        return serves(topology, [self.server], [self.client])

    @property
    def critical_tasks(self) -> tuple[str, ...]:
        """See `Storage.critical_tasks`."""
        return _critical_tasks(self.program, self.connection)

    @property
    def bound_s(self) -> float:
        """See `Storage.bound_s`."""
        return self.connection.bound_s

    def needs(self, topology: Topology) -> Needs:
        """See `Needing.needs`."""
        return {self.client: (*NBD.client_modules, "CONFIG_SWAP")}

    def set_up(self, site: Site) -> StorageProbe:
        """See `Storage.set_up`."""
        client, server = site.role(self.client), site.role(self.server)
        size = int(client.facts.memory * self.ratio) // MIB * MIB
        self.program.start(site, self.client, self.server, size)
        client.shell.run("swapoff -a", deadline=site.deadline(10))
        self.connection.connect(client, site, f"/dev/{self.device}", site.address(server, seen_from=client))
        self._before[:] = held_by(client, site, self.connection)
        return StorageProbe(
            host=client.name,
            # The kernel refuses writes to a swap device; a read is like a page-in.
            spec={"path": f"/dev/{self.device}", "offset": size - MIB, "write": False},
            counters={self.device: f"/sys/block/{self.device}/stat"},
            evidence=_evidence(self.device),
        )

    def baseline(self, site: Site) -> float:
        """See `Storage.baseline`; writes and reads past the page cache, then turns the device into swap."""
        client = site.role(self.client)
        device = f"/dev/{self.device}"
        copies = (f"dd if=/dev/zero of={device} oflag=direct", f"dd if={device} of=/dev/null iflag=direct")
        pages = pages_per_second(client, site, *copies)
        client.shell.run(f"mkswap {device} >/dev/null && swapon {device}", deadline=site.deadline(10))
        return pages

    def measures(self, site: Site, evidence: Path) -> Sequence[Measure]:
        """See `Measuring.measures`: what held the connection, how it was protected, and whether it is still there."""
        return [*self._before, *still_held(site.role(self.client), site, self.connection)]

    def tear_down(self, site: Site) -> None:
        """See `Storage.tear_down`."""
        try:
            disconnect(site.role(self.client), site, f"/dev/{self.device}", swap=True)
        finally:
            self.program.stop(site, self.server)


@dataclass(frozen=True, slots=True, kw_only=True)
class NbdDisk:
    """The NBD device /dev/<device> of the role `client`, served by the role `server`. A load writes to `path`.

    When the connection dies, requests wait `dead_conn_timeout_s` for a new one, then fail. With `reconnect`, a process
    on the client (guest/nbd_keeper.py) dials until it has a new connection.
    """

    client: str = "client"
    server: str = "server"
    device: str = "nbd0"
    dead_conn_timeout_s: int = 30
    reconnect: bool = True
    program: NbdServer = field(default_factory=NbdServer)

    def __post_init__(self) -> None:
        """Raises UsageError for a time below 1 s."""
        Kept(dead_conn_timeout_s=self.dead_conn_timeout_s)

    @property
    def _connection(self) -> Kept:
        return Kept(dead_conn_timeout_s=self.dead_conn_timeout_s, reconnect=self.reconnect)

    @property
    def path(self) -> str:
        """The block device that a load writes to."""
        return f"/dev/{self.device}"

    def describe(self) -> str:
        """See `Storage.describe`."""
        return f"{self.device}, served by {self.server}, waits {self.dead_conn_timeout_s} s for a connection"

    @property
    def protocol(self) -> StorageProtocol | None:
        """See `Storage.protocol`."""
        return NBD

    def served_by(self, topology: Topology) -> ServedBy:
        """See `Storage.served_by`."""
        return serves(topology, [self.server], [self.client])

    @property
    def critical_tasks(self) -> tuple[str, ...]:
        """See `Storage.critical_tasks`."""
        return _critical_tasks(self.program, self._connection)

    @property
    def bound_s(self) -> float:
        """See `Storage.bound_s`: a request in flight first waits for its own timeout."""
        return self._connection.bound_s

    def needs(self, topology: Topology) -> Needs:
        """See `Needing.needs`."""
        return {self.client: NBD.client_modules}

    def set_up(self, site: Site) -> StorageProbe:
        """See `Storage.set_up`."""
        client, server = site.role(self.client), site.role(self.server)
        self.program.start(site, self.client, self.server, DISK)
        self._connection.connect(client, site, self.path, site.address(server, seen_from=client))
        return StorageProbe(
            host=client.name,
            spec={"path": self.path, "offset": DISK - MIB, "write": True},
            counters={self.device: f"/sys/block/{self.device}/stat"},
            evidence=_evidence(self.device),
        )

    def baseline(self, site: Site) -> float:
        """See `Storage.baseline`."""
        copy = f"dd if=/dev/zero of={self.path} oflag=direct"
        return pages_per_second(site.role(self.client), site, copy)

    def tear_down(self, site: Site) -> None:
        """See `Storage.tear_down`."""
        try:
            disconnect(site.role(self.client), site, self.path)
        finally:
            self.program.stop(site, self.server)


def _evidence(device: str) -> tuple[str, ...]:
    return tuple(path.format(device=device) for path in EVIDENCE)


def _critical_tasks(program: NbdServer, connection: NbdConnection) -> tuple[str, ...]:
    # nbd-server's threads are called "pool".
    return tuple(filter(None, (program.program, connection.process, "pool")))
