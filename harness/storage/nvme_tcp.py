"""An NVMe/TCP disk: the kernel's initiator on one host, the kernel's target on another, or on the same one."""

from __future__ import annotations

from dataclasses import dataclass

from harness.model.errors import InfraError, UsageError
from harness.model.storage_protocols import NVME_TCP, StorageProtocol
from harness.model.topology import MIB, Topology
from harness.site.needs import Needs, together
from harness.site.target import Site, Target
from harness.storage.base import MEMORY, ServedBy, StorageProbe, pages_per_second, serves
from harness.storage.folder import Folder

NQN = "nqn.2012-06.invalid.harness:disk"
PORT = NVME_TCP.port
FOLDER = "/srv/harness-nvme"
NOTES = "/run/harness/storage"  # notes of what tear-down has to undo
DEVICE = "/dev/harness-nvme"
CONFIGFS = "/sys/kernel/config"
SUBSYSTEM = f"{CONFIGFS}/nvmet/subsystems/{NQN}"
NAMESPACE = f"{SUBSYSTEM}/namespaces/1"
LISTENER = f"{CONFIGFS}/nvmet/ports/1"
# nvmetcli writes the same files. The target opens the file with O_DIRECT, which tmpfs supports since v6.6; buffered_io
# is the fallback. In that mode reads of an ext4 file failed under pressure (6.1.0-57), most likely those that were only
# partly cached: nvmet_file_execute_io() asks with IOCB_NOWAIT first. A tmpfs is always cached. `ln` makes the port
# listen, and fails if it cannot.
SERVE = f"""\
mkdir -p {NOTES} && modprobe configfs && \
{{ mountpoint -q {CONFIGFS} || {{ mount -t configfs none {CONFIGFS} && touch {NOTES}/configfs; }}; }} && \
modprobe nvmet && modprobe nvmet_tcp && \
mkdir -p {SUBSYSTEM} && echo 1 >{SUBSYSTEM}/attr_allow_any_host && \
mkdir -p {NAMESPACE} && printf %%s %s >{NAMESPACE}/device_path && \
{{ echo 1 >{NAMESPACE}/enable || {{ echo 1 >{NAMESPACE}/buffered_io && echo 1 >{NAMESPACE}/enable; }}; }} && \
mkdir -p {LISTENER} && echo tcp >{LISTENER}/addr_trtype && echo ipv4 >{LISTENER}/addr_adrfam && \
echo 0.0.0.0 >{LISTENER}/addr_traddr && echo {PORT} >{LISTENER}/addr_trsvcid && \
ln -s {SUBSYSTEM} {LISTENER}/subsystems/"""
STOP = f"""\
rm -f {LISTENER}/subsystems/{NQN}; rmdir {LISTENER}; \
echo 0 >{NAMESPACE}/enable; rmdir {NAMESPACE} {SUBSYSTEM}; \
[ ! -e {NOTES}/configfs ] || {{ umount {CONFIGFS}; rm {NOTES}/configfs; }}"""
CONNECT = f"""\
modprobe nvme_tcp && nvme connect --transport=tcp --traddr={{address}} --trsvcid={PORT} --nqn={NQN} {{times}}"""
# Prints the controller, the disk and the path to it, once the disk can be opened. With native multipath, the kernel's
# default, the path is a hidden disk (nvme0c0n1); it alone counts requests in every kernel.
FIND = f"""\
for i in $(seq 50); do for nvme in /sys/class/nvme/nvme*; do grep -qx {NQN} $nvme/subsysnqn || continue; \
for path in $nvme/nvme*n1; do [ -e $path ] || continue; path=${{path##*/}}; disk=$(echo $path | sed 's/c[0-9]*n/n/'); \
[ -b /dev/$disk ] || continue; ln -sf $disk {DEVICE} && echo ${{nvme##*/}} $disk $path; exit 0; done; done; \
sleep 0.1; done"""
# Fails if a controller is still there.
DISCONNECT = f"""\
nvme disconnect --nqn={NQN}; rm -f {DEVICE}; ! cat /sys/class/nvme/*/subsysnqn 2>/dev/null | grep -qx {NQN}"""
EVIDENCE = (
    "/sys/block/{path}/stat",
    "/sys/block/{path}/inflight",
    "/sys/class/nvme/{controller}/state",
    "/proc/swaps",
    "/proc/net/tcp",
    *MEMORY,
    # Last: reading it allocates a buffer, so the reader may block when memory is short.
    "/sys/kernel/debug/block/{path}/hctx0/busy",
)
LONGEST_S = 86_400
FOR_EVER = -1  # ctrl_loss_tmo: nvmf_should_reconnect() then counts no attempts, drivers/nvme/host/fabrics.c


@dataclass(frozen=True, slots=True, kw_only=True)
class NvmeTcpDisk:
    """An NVMe/TCP disk of `ratio` × the client's memory, served by the role `server`. A load writes to `path`.

    `Folder` describes where the server keeps the data; the server uses direct I/O if the file system supports it. A
    keep-alive that is not answered in `keep_alive_s` ends the connection. The client tries a new one every
    `reconnect_delay_s`. Requests wait for it; they fail after `fast_io_fail_s`, or after `ctrl_loss_s`, when the
    controller is removed. None: never, the setting for swap and root disks. The defaults are the kernel's.
    """

    client: str = "client"
    server: str = "server"
    ratio: float = 0.5
    ctrl_loss_s: int | None = 600
    fast_io_fail_s: int | None = None
    keep_alive_s: int = 5
    reconnect_delay_s: int = 10

    def __post_init__(self) -> None:
        """Raises UsageError for a time out of range; to the kernel, 0 and negative values mean something else."""
        bounded = {"ctrl_loss_tmo": self.ctrl_loss_s, "fast_io_fail_tmo": self.fast_io_fail_s}
        for name, given in bounded.items():
            if given is not None and not 1 <= given <= LONGEST_S:
                raise UsageError(f"NVMe/TCP: {name} of {given} s; it is 1 to {LONGEST_S}, or None: for ever")
        for name, given in {"keep_alive_tmo": self.keep_alive_s, "reconnect_delay": self.reconnect_delay_s}.items():
            if not 1 <= given <= LONGEST_S:
                raise UsageError(f"NVMe/TCP: {name} of {given} s; it is 1 to {LONGEST_S}")

    @property
    def path(self) -> str:
        """The block device that a load writes to."""
        return DEVICE

    def describe(self) -> str:
        """See `Storage.describe`."""
        return f"NVMe/TCP disk of {self.client}, served by {self.server} (nvmet)"

    @property
    def protocol(self) -> StorageProtocol | None:
        """See `Storage.protocol`."""
        return NVME_TCP

    def served_by(self, topology: Topology) -> ServedBy:
        """See `Storage.served_by`."""
        return serves(topology, [self.server], [self.client])

    @property
    def critical_tasks(self) -> tuple[str, ...]:
        """See `Storage.critical_tasks`."""
        return ()  # workers of the kernel on both hosts

    @property
    def bound_s(self) -> float:
        """See `Storage.bound_s`: the time until a keep-alive fails, then until requests fail or the client reconnects.

        Keep-alives go out every half `keep_alive_s` (nvme_queue_keep_alive_work()).
        """
        limits = [seconds for seconds in (self.ctrl_loss_s, self.fast_io_fail_s) if seconds is not None]
        return 1.5 * self.keep_alive_s + (min(limits) if limits else self.reconnect_delay_s)

    @property
    def _folder(self) -> Folder:
        return Folder(path=FOLDER, server=self.server)

    @property
    def _times(self) -> str:
        times = {
            "ctrl-loss-tmo": self.ctrl_loss_s or FOR_EVER,
            "keep-alive-tmo": self.keep_alive_s,
            "reconnect-delay": self.reconnect_delay_s,
        }
        if self.fast_io_fail_s is not None:
            times["fast_io_fail_tmo"] = self.fast_io_fail_s
        return " ".join(f"--{name}={seconds}" for name, seconds in times.items())

    def needs(self, topology: Topology) -> Needs:
        """See `Needing.needs`."""
        return together({self.client: NVME_TCP.client_modules}, {self.server: NVME_TCP.server_modules})

    def set_up(self, site: Site) -> StorageProbe:
        """See `Storage.set_up`."""
        client, server = site.role(self.client), site.role(self.server)
        size = int(client.facts.memory * self.ratio) // MIB * MIB
        self._folder.make_image(site, self.client, size)
        server.shell.run(SERVE, self._folder.image, deadline=site.deadline(20))
        controller, disk, path = self._connect(site, client, site.address(server, seen_from=client))
        return StorageProbe(
            host=client.name,
            spec={"path": DEVICE, "offset": size - MIB, "write": True},
            counters={disk: f"/sys/block/{path}/stat"},
            evidence=tuple(file.format(controller=controller, path=path) for file in EVIDENCE),
        )

    def _connect(self, site: Site, client: Target, address: str) -> tuple[str, str, str]:
        client.shell.run(CONNECT.format(address=address, times=self._times), deadline=site.deadline(20))
        found = client.shell.run(FIND, deadline=site.deadline(20)).stdout.split()
        if len(found) != 3:
            raise InfraError(f"{client.name}: connected to {NQN}, and no disk came")
        return found[0], found[1], found[2]

    def baseline(self, site: Site) -> float:
        """See `Storage.baseline`."""
        return pages_per_second(site.role(self.client), site, f"dd if=/dev/zero of={DEVICE} oflag=direct")

    def tear_down(self, site: Site) -> None:
        """See `Storage.tear_down`."""
        client, server = site.role(self.client), site.role(self.server)
        try:
            client.agent.ask("storage", path=None, deadline=site.deadline(5))  # its probe has the disk open
            client.shell.run(DISCONNECT, deadline=site.deadline(40))
        finally:
            server.shell.run(STOP, deadline=site.deadline(20), check=False)
            self._folder.tear_down(site)
