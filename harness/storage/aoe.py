"""A disk over ATA over Ethernet: vblade on one host, the kernel's aoe driver on another, or on the same one."""

from __future__ import annotations

from dataclasses import dataclass

from harness.model.errors import InfraError, UsageError
from harness.model.storage_protocols import AOE, StorageProtocol
from harness.model.topology import MIB, Topology
from harness.site.needs import Needs, together
from harness.site.target import Site, Target
from harness.storage.base import MEMORY, ServedBy, StorageProbe, pages_per_second, serves
from harness.storage.folder import Folder

FOLDER = "/srv/harness-aoe"
SHELF, SLOT = 77, 0  # another disk on the segment may have the first shelf
DISK = f"etherd!e{SHELF}.{SLOT}"
DEVICE = "/dev/" + DISK.replace("!", "/")
# A host that serves itself needs a veth pair. Its loopback interface does not do: vblade and the driver accept it and
# agree on frames of 65,024 bytes, but a request that fills such a frame is never answered.
NEAR, FAR, JUMBO = "harness-aoe0", "harness-aoe1", 9000
PAIR = (
    f"ip link add {NEAR} type veth peer name {FAR} && "
    f"ip link set {NEAR} up mtu {JUMBO} && ip link set {FAR} up mtu {JUMBO}"
)
INTERFACE = "ip -o -4 address show to %s | cut -d' ' -f2"
# vblade opens the segment and the file, then prints the size in sectors and is ready.
SERVE = f"""\
setsid vblade {SHELF} {SLOT} {{interface}} {{image}} >{FOLDER}/log 2>&1 </dev/null & \
for i in $(seq 50); do grep -q sectors {FOLDER}/log && exit 0; sleep 0.1; done; cat {FOLDER}/log; exit 1"""
CONNECT = """\
modprobe aoe aoe_iflist={interface} aoe_deadsecs={dead} && \
for i in $(seq 50); do [ -b {device} ] && exit 0; echo 1 >/dev/etherd/discover; sleep 0.2; done; exit 1"""
# The disk disappears with its module, which stays in use for a moment after its last user has gone.
DISCONNECT = f"""\
for i in $(seq 50); do [ -e /sys/module/aoe ] || break; rmmod aoe 2>/dev/null || sleep 0.2; done; [ ! -e {DEVICE} ]"""
STOP = "pkill -CONT -x vblade; pkill -x vblade"
# Deleting an interface that the driver still holds would block.
PART = f"[ -e /sys/module/aoe ] || [ ! -e /sys/class/net/{NEAR} ] || ip link del {NEAR}"
EVIDENCE = (
    f"/sys/kernel/debug/aoe/e{SHELF}.{SLOT}",  # round-trip time, frames in flight, and their limit
    f"/sys/block/{DISK}/stat",
    f"/sys/block/{DISK}/inflight",
    f"/sys/block/{DISK}/state",
    "/proc/swaps",
    "/proc/buddyinfo",
    "/proc/net/dev",
    *MEMORY,
)
FOR_EVER_S = 86_400  # longer than any trial; the driver has no value for "never"
# 2 × mean round-trip time + 8 × its deviation. The driver starts with 250 ms and 2 s (RTTAVG_INIT and RTTDEV_INIT,
# drivers/block/aoe/aoe.h; rto(), aoecmd.c).
FIRST_TIMEOUT_S = 16.5
SHORTEST = 4  # BLKDEV_MIN_RQ


@dataclass(frozen=True, slots=True, kw_only=True)
class AoeDisk:
    """An AoE disk of `ratio` × the client's memory, served by the role `server`. A load writes to `path`.

    `Folder` describes where the server keeps the data. The driver repeats a request that is not answered. After
    `deadsecs_s` seconds (aoe_deadsecs) it gives the disk up, and every request fails from then on; None: it never gives
    up. `nr_requests` is the length of the disk's request queue, None the kernel's default. By default the driver takes
    128 requests out of the queue and does not reorder them, so a read waits until all of them are written.
    """

    client: str = "client"
    server: str = "server"
    ratio: float = 0.5
    deadsecs_s: int | None = 180
    nr_requests: int | None = None

    def __post_init__(self) -> None:
        """Raises UsageError for a time out of range, or a queue shorter than the kernel's minimum."""
        given = self.deadsecs_s
        if given is not None and not 1 <= given < FOR_EVER_S:
            raise UsageError(f"AoE: deadsecs of {given} s; it is 1 to {FOR_EVER_S - 1}, or None: for ever")
        if self.nr_requests is not None and self.nr_requests < SHORTEST:
            raise UsageError(f"AoE: a queue of {self.nr_requests} requests; the shortest has {SHORTEST}")

    @property
    def path(self) -> str:
        """The block device that a load writes to."""
        return DEVICE

    def describe(self) -> str:
        """See `Storage.describe`."""
        return f"AoE disk of {self.client}, served by {self.server} (vblade)"

    @property
    def protocol(self) -> StorageProtocol | None:
        """See `Storage.protocol`."""
        return AOE

    def served_by(self, topology: Topology) -> ServedBy:
        """See `Storage.served_by`."""
        return serves(topology, [self.server], [self.client])

    @property
    def critical_tasks(self) -> tuple[str, ...]:
        """See `Storage.critical_tasks`."""
        return ("vblade",)

    @property
    def bound_s(self) -> float:
        """See `Storage.bound_s`: `deadsecs_s`; with None, the time until a lost frame is first repeated."""
        return self.deadsecs_s or FIRST_TIMEOUT_S

    @property
    def _folder(self) -> Folder:
        return Folder(path=FOLDER, server=self.server)

    def needs(self, topology: Topology) -> Needs:
        """See `Needing.needs`."""
        alone = topology.roles.get(self.client) == topology.roles.get(self.server)
        modules = (*AOE.client_modules, "veth") if alone else AOE.client_modules
        return together({self.client: modules}, {self.server: AOE.server_modules})

    def set_up(self, site: Site) -> StorageProbe:
        """See `Storage.set_up`."""
        client, server = site.role(self.client), site.role(self.server)
        size = int(client.facts.memory * self.ratio) // MIB * MIB
        near, far = self._interfaces(site, client, server)
        self._folder.make_image(site, self.client, size)
        serve = SERVE.format(interface=far, image=self._folder.image)
        self._must(site, server, serve, "vblade does not serve")
        connect = CONNECT.format(interface=near, dead=self.deadsecs_s or FOR_EVER_S, device=DEVICE)
        self._must(site, client, connect, f"no {DEVICE} after asking for it on {near}")
        if self.nr_requests is not None:
            shorten = f"echo {self.nr_requests} >'/sys/block/{DISK}/queue/nr_requests'"
            self._must(site, client, shorten, f"{DEVICE} keeps its queue")
        return StorageProbe(
            host=client.name,
            spec={"path": DEVICE, "offset": size - MIB, "write": True},
            counters={DISK: f"/sys/block/{DISK}/stat"},
            evidence=EVIDENCE,
        )

    def _interfaces(self, site: Site, client: Target, server: Target) -> tuple[str, str]:
        """The names of the client's and of the server's interface on their common segment."""
        if client.name == server.name:
            client.shell.run(PAIR, deadline=site.deadline(10))
            return NEAR, FAR
        return self._interface(site, client, server), self._interface(site, server, client)

    def _interface(self, site: Site, host: Target, peer: Target) -> str:
        address = site.address(host, seen_from=peer)
        found: str = host.shell.run(INTERFACE, address, deadline=site.deadline(10)).stdout.strip()
        if not found:
            raise InfraError(f"{host.name}: no interface has the address {address}")
        return found

    def _must(self, site: Site, host: Target, command: str, problem: str) -> None:
        done = host.shell.run(command, deadline=site.deadline(20), check=False)
        if done.exit_code:
            raise InfraError(f"{host.name}: {problem}: {(done.stderr or done.stdout).strip()[-200:]}")

    def baseline(self, site: Site) -> float:
        """See `Storage.baseline`."""
        return pages_per_second(site.role(self.client), site, f"dd if=/dev/zero of={DEVICE} oflag=direct")

    def tear_down(self, site: Site) -> None:
        """See `Storage.tear_down`."""
        client, server = site.role(self.client), site.role(self.server)
        try:
            client.agent.ask("storage", path=None, deadline=site.deadline(5))  # its probe has the disk open
            client.shell.run(DISCONNECT, deadline=site.deadline(20))
        finally:
            server.shell.run(f"{STOP}; {PART}", deadline=site.deadline(20), check=False)
            self._folder.tear_down(site)
