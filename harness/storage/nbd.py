"""Swap on a network block device: nbd-server on one host, nbd-client and swap on another, or on the same one."""

from __future__ import annotations

from dataclasses import dataclass

from harness.model.errors import InfraError
from harness.model.topology import MIB
from harness.storage.base import StorageProbe, time_copies
from harness.targets.target import Site

EXPORT = "swap"
PORT = 10809  # IANA's, and nbd-server's default
FOLDER = "/srv/harness-nbd"
PAGE = 4096
CONFIG = f"""\
[generic]
user = root
group = root
port = {PORT}
[{EXPORT}]
exportname = {FOLDER}/swap.img
"""
BASELINE_MIB = 16
EVIDENCE = (
    "/sys/block/{device}/stat",
    "/sys/block/{device}/inflight",
    "/sys/kernel/debug/nbd/{device}/flags",
    "/sys/kernel/debug/nbd/{device}/tasks",
    "/sys/kernel/debug/block/{device}/hctx0/busy",
    "/sys/kernel/debug/block/{device}/hctx0/tags",
    "/proc/swaps",
    "/proc/meminfo",
    "/proc/buddyinfo",
    "/proc/pressure/memory",
    "/proc/pressure/io",
    "/proc/net/tcp",
    "/proc/vmstat",
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
        self._serve(site, size)
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
            evidence=tuple(path.format(device=self.device) for path in EVIDENCE),
        )

    def _serve(self, site: Site, size: int) -> None:
        server = site.role(self.server)
        apart = server.name != site.role(self.client).name
        in_memory = apart and server.memory > size + 128 * MIB
        mount = f"mount -t tmpfs -o size={size + MIB} none {FOLDER} && " if in_memory else ""
        server.shell.run(
            f"mkdir -p {FOLDER} && {mount}truncate -s {size} {FOLDER}/swap.img && "
            f"printf %%s %s >{FOLDER}/nbd.conf && nbd-server -C {FOLDER}/nbd.conf -p /run/harness-nbd.pid",
            CONFIG,
            deadline=site.deadline(10),
        )
        self._await_listener(site)

    def _await_listener(self, site: Site) -> None:
        server = site.role(self.server)
        script = f"for i in $(seq 50); do ss -Hltn 'sport = :{PORT}' | grep -q . && exit 0; sleep 0.1; done; exit 1"
        if server.shell.run(script, deadline=site.deadline(10), check=False).exit_code != 0:
            raise InfraError(f"{server.name}: nbd-server does not listen on port {PORT}")

    def baseline(self, site: Site) -> float:
        """See `Storage.baseline`; then makes the device swap. Writes and reads 16 MiB past the page cache."""
        client = site.role(self.client)
        device = f"/dev/{self.device}"
        copies = (
            f"dd if=/dev/zero of={device} bs=1M count={BASELINE_MIB} oflag=direct",
            f"dd if={device} of=/dev/null bs=1M count={BASELINE_MIB} iflag=direct",
        )
        seconds = time_copies(client, site, *copies)
        client.shell.run(f"mkswap {device} >/dev/null && swapon {device}", deadline=site.deadline(10))
        return len(copies) * BASELINE_MIB * MIB / PAGE / seconds

    def tear_down(self, site: Site) -> None:
        """See `Storage.tear_down`."""
        device = f"/dev/{self.device}"
        site.role(self.client).shell.run(
            f"swapoff {device}; nbd-client -d {device}; true", deadline=site.deadline(20), check=False
        )
        stop = f"kill $(cat /run/harness-nbd.pid); umount {FOLDER}; rm -rf {FOLDER}; true"
        site.role(self.server).shell.run(stop, deadline=site.deadline(10), check=False)
