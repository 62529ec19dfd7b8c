"""A network block device, as swap or as it is: nbd-server on one host, the device on another, or on the same one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.model.errors import InfraError, UsageError
from harness.model.topology import MIB
from harness.storage.base import PAGE, StorageProbe, pages_per_second
from harness.targets.target import Site

EXPORT = "swap"
PORT = 10809  # IANA's, and nbd-server's default
FOLDER = "/srv/harness-nbd"
CONFIG = f"""\
[generic]
user = root
group = root
port = {PORT}
[{EXPORT}]
exportname = {FOLDER}/swap.img
"""
DISK = 64 * MIB
KEEPER = Path(__file__).parent / "guest" / "nbd_keeper.py"
KEEPER_FOLDER = "/run/harness/storage"
TIMEOUT_S = 10  # of one request; only with a timeout does one that was under way move to a new connection
# A fault may have left it stopped.
STOP = f"kill $(cat /run/harness-nbd.pid); pkill -CONT -x nbd-server; umount -l {FOLDER}; rm -rf {FOLDER}; true"
EVIDENCE = (
    "/sys/block/{device}/stat",
    "/sys/block/{device}/inflight",
    "/sys/kernel/debug/nbd/{device}/flags",
    "/sys/kernel/debug/nbd/{device}/tasks",
    "/proc/swaps",
    "/proc/meminfo",
    "/proc/buddyinfo",
    "/proc/pressure/memory",
    "/proc/pressure/io",
    "/proc/net/tcp",
    "/proc/vmstat",
    # Last: they need a buffer of their own, and what waits for memory there holds up whoever reads.
    "/sys/kernel/debug/block/{device}/hctx0/busy",
    "/sys/kernel/debug/block/{device}/hctx0/tags",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NbdSwap:
    """Swap of `ratio` × the client's memory on /dev/<device>, served by the role `server`.

    The server keeps it in memory (tmpfs) when it is another host with room for it, so that its disk is not what is
    measured, and in a file of its root file system when it is the client itself.
    """

    client: str = "client"
    server: str = "server"
    ratio: float = 5.0
    device: str = "nbd0"

    def describe(self) -> str:
        """See `Storage.describe`."""
        return f"swap on {self.device}, served by {self.server}"

    @property
    def mortal(self) -> tuple[str, ...]:
        """See `Storage.mortal`."""
        return ("nbd-server", "nbd-client", "pool")

    @property
    def bound_s(self) -> float:
        """See `Storage.bound_s`."""
        return 0.0

    def set_up(self, site: Site) -> StorageProbe:
        """See `Storage.set_up`."""
        client, server = site.role(self.client), site.role(self.server)
        size = int(client.memory * self.ratio) // MIB * MIB
        _serve(site, self.client, self.server, size)
        address = site.address(server, seen_from=client)
        connect = (
            f"modprobe nbd && nbd-client {address} {PORT} /dev/{self.device} -name {EXPORT} -block-size 4096 -swap"
        )
        client.shell.run(f"swapoff -a; {connect}", deadline=site.deadline(10))
        return StorageProbe(
            host=client.name,
            # The kernel refuses writes to a device that it swaps to; a read is what a page-in is.
            spec={"path": f"/dev/{self.device}", "offset": size - MIB, "write": False},
            counters={self.device: f"/sys/block/{self.device}/stat"},
            evidence=_evidence(self.device),
        )

    def baseline(self, site: Site) -> float:
        """See `Storage.baseline`; then makes the device swap. Writes and reads past the page cache."""
        client = site.role(self.client)
        device = f"/dev/{self.device}"
        copies = (f"dd if=/dev/zero of={device} oflag=direct", f"dd if={device} of=/dev/null iflag=direct")
        pages = pages_per_second(client, site, *copies)
        client.shell.run(f"mkswap {device} >/dev/null && swapon {device}", deadline=site.deadline(10))
        return pages

    def tear_down(self, site: Site) -> None:
        """See `Storage.tear_down`."""
        device = f"/dev/{self.device}"
        site.role(self.client).shell.run(
            f"swapoff {device}; nbd-client -d {device}; true", deadline=site.deadline(20), check=False
        )
        site.role(self.server).shell.run(STOP, deadline=site.deadline(10), check=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class NbdDisk:
    """The device itself, /dev/<device> of the role `client`, served by the role `server`; `path` is for a load.

    When its connection dies, requests wait `dead_conn_timeout_s` for a new one and fail then. With `reconnect`, a
    process on the client dials until it has one (guest/nbd_keeper.py).
    """

    client: str = "client"
    server: str = "server"
    device: str = "nbd0"
    dead_conn_timeout_s: int = 30
    reconnect: bool = True

    def __post_init__(self) -> None:
        if self.dead_conn_timeout_s < 1:
            raise UsageError(f"NBD: dead_conn_timeout of {self.dead_conn_timeout_s} s; it is 1 or more")

    @property
    def path(self) -> str:
        """The device, for a load."""
        return f"/dev/{self.device}"

    def describe(self) -> str:
        """See `Storage.describe`."""
        return f"{self.device}, served by {self.server}, waits {self.dead_conn_timeout_s} s for a connection"

    @property
    def mortal(self) -> tuple[str, ...]:
        """See `Storage.mortal`."""
        return ("nbd-server", "nbd-keeper", "pool")

    @property
    def bound_s(self) -> float:
        """See `Storage.bound_s`: a request that was under way waits for its own timeout first."""
        return TIMEOUT_S + self.dead_conn_timeout_s

    def set_up(self, site: Site) -> StorageProbe:
        """See `Storage.set_up`."""
        client, server = site.role(self.client), site.role(self.server)
        _serve(site, self.client, self.server, DISK)
        script, log = f"{KEEPER_FOLDER}/{KEEPER.name}", f"{KEEPER_FOLDER}/log"
        client.shell.run("modprobe nbd && mkdir -p %s", KEEPER_FOLDER, deadline=site.deadline(10))
        client.shell.put(KEEPER, script, deadline=site.deadline(10))
        address = site.address(server, seen_from=client)
        times = (TIMEOUT_S, self.dead_conn_timeout_s)
        arguments = (script, self.path, address, PORT, EXPORT, PAGE, *times, "keep" if self.reconnect else "leave", log)
        client.shell.run("python3 -I -S" + " %s" * len(arguments), *arguments, deadline=site.deadline(10))
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
        end = f"pkill -x nbd-keeper; nbd-client -d {self.path}; rm -rf {KEEPER_FOLDER}; true"
        try:
            site.role(self.client).shell.run(end, deadline=site.deadline(20), check=False)
        finally:
            site.role(self.server).shell.run(STOP, deadline=site.deadline(10), check=False)


def _evidence(device: str) -> tuple[str, ...]:
    return tuple(path.format(device=device) for path in EVIDENCE)


def _serve(site: Site, client_role: str, server_role: str, size: int) -> None:
    """Serve `size` bytes, in memory (tmpfs) where the server is another host and has room, else in a file."""
    client, server = site.role(client_role), site.role(server_role)
    in_memory = server.name != client.name and server.memory > size + 128 * MIB
    mount = f"mount -t tmpfs -o size={size + MIB} none {FOLDER} && " if in_memory else ""
    server.shell.run(
        f"mkdir -p {FOLDER} && {mount}truncate -s {size} {FOLDER}/swap.img && "
        f"printf %%s %s >{FOLDER}/nbd.conf && nbd-server -C {FOLDER}/nbd.conf -p /run/harness-nbd.pid",
        CONFIG,
        deadline=site.deadline(10),
    )
    # nbd-server listens, then computes Diffie-Hellman parameters (3.24; tens of seconds under emulation), then answers.
    greeted = f"import socket; assert socket.create_connection(('127.0.0.1', {PORT})).recv(8) == b'NBDMAGIC'"
    script = (
        f"for i in $(seq 50); do ss -Hltn 'sport = :{PORT}' | grep -q . && break; sleep 0.1; done; "
        f'python3 -I -S -c "{greeted}"'
    )
    if server.shell.run(script, deadline=site.deadline(20), check=False).exit_code != 0:
        raise InfraError(f"{server.name}: nbd-server does not listen on port {PORT}")
