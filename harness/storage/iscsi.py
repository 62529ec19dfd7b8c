"""An iSCSI disk: open-iscsi on one host; tgt or the kernel's target on another, or on the same one."""

from __future__ import annotations

from dataclasses import dataclass

from harness.model.errors import InfraError, UsageError
from harness.model.storage_protocols import ISCSI, StorageProtocol
from harness.model.topology import MIB, Topology
from harness.site.needs import Needs, together
from harness.site.target import Site, Target
from harness.storage.base import MEMORY, ServedBy, StorageProbe, pages_per_second, serves
from harness.storage.folder import Folder
from harness.storage.iscsi_target import FOLDER, LISTENS, NOTES, PORT, TARGET, TGT, IscsiServer

DEVICE = "/dev/harness-iscsi"
OURS = f"{NOTES}/iscsid"
NOOP_S = 5.0  # interval of pings, and timeout of one: open-iscsi's defaults of node.conn[0].timeo.noop_out_*
LONGEST_S = 86_400
FOR_EVER = -1  # recovery_tmo: __iscsi_block_session() then arms no timer, drivers/scsi/scsi_transport_iscsi.c
RECORD = f"iscsiadm -m node -T {TARGET} -p {{portal}}"
# Guests have neither udev nor systemd, so the script makes the folder, starts the daemon and waits for the disk.
LOGIN = """\
mkdir -p /run/lock {notes} && modprobe iscsi_tcp && modprobe sd_mod && \
{{ pgrep -x iscsid >/dev/null || {{ iscsid && touch {ours}; }}; }} && \
{record} -o new && {record} -o update -n node.session.timeo.replacement_timeout -v {timeout} && {record} --login"""
# Prints the names of the session and of its disk, once the disk can be opened.
FIND = """\
for i in $(seq 50); do for session in /sys/class/iscsi_session/session*; do \
[ "$(cat $session/targetname)" = {target} ] || continue; \
for disk in $session/device/target*/*/block/*; do [ -b /dev/${{disk##*/}} ] || continue; \
ln -sf ${{disk##*/}} {device} && echo ${{session##*/}} ${{disk##*/}}; exit 0; done; done; sleep 0.1; done"""
# Fails if the session is still there.
LOGOUT = """\
{record} --logout; {record} -o delete; rm -f {device}; \
[ ! -e {ours} ] || {{ iscsiadm -k 0; for i in $(seq 50); do pgrep -x iscsid >/dev/null || break; sleep 0.1; done; \
pkill -KILL -x iscsid; rm -f {ours}; }}; \
! cat /sys/class/iscsi_session/*/targetname 2>/dev/null | grep -qx {target}"""
EVIDENCE = (
    "/sys/block/{disk}/stat",
    "/sys/block/{disk}/inflight",
    "/sys/block/{disk}/device/state",
    "/sys/class/iscsi_session/{session}/state",
    "/proc/swaps",
    "/proc/net/tcp",
    *MEMORY,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class IscsiDisk:
    """An iSCSI disk of `ratio` × the client's memory, served by the role `server`. A load writes to `path`.

    `Folder` describes where the server keeps the data. When the session dies, requests wait `replacement_timeout_s` for
    a new one, then fail. None: they wait for ever, the setting for swap and root disks.
    """

    client: str = "client"
    server: str = "server"
    program: IscsiServer = TGT
    ratio: float = 0.5
    replacement_timeout_s: int | None = 120

    def __post_init__(self) -> None:
        """Raises UsageError for a time out of range; to the kernel, 0 and negative values mean something else."""
        given = self.replacement_timeout_s
        if given is not None and not 1 <= given <= LONGEST_S:
            raise UsageError(f"iSCSI: replacement_timeout of {given} s; it is 1 to {LONGEST_S}, or None: for ever")

    @property
    def path(self) -> str:
        """The block device that a load writes to."""
        return DEVICE

    def describe(self) -> str:
        """See `Storage.describe`."""
        return f"iSCSI disk of {self.client}, served by {self.server} ({self.program})"

    @property
    def protocol(self) -> StorageProtocol | None:
        """See `Storage.protocol`."""
        return ISCSI

    def served_by(self, topology: Topology) -> ServedBy:
        """See `Storage.served_by`."""
        return serves(topology, [self.server], [self.client])

    @property
    def critical_tasks(self) -> tuple[str, ...]:
        """See `Storage.critical_tasks`."""
        return ("iscsid", *self.program.critical_tasks)

    @property
    def bound_s(self) -> float:
        """See `Storage.bound_s`: the interval of pings, the timeout of one, and `replacement_timeout_s` if given."""
        return 2 * NOOP_S + (self.replacement_timeout_s or 0)

    @property
    def _folder(self) -> Folder:
        return Folder(path=FOLDER, server=self.server)

    def needs(self, topology: Topology) -> Needs:
        """See `Needing.needs`."""
        return together({self.client: ISCSI.client_modules}, {self.server: self.program.modules})

    def set_up(self, site: Site) -> StorageProbe:
        """See `Storage.set_up`."""
        client = site.role(self.client)
        size = int(client.facts.memory * self.ratio) // MIB * MIB
        self._serve(site, size)
        session, disk = self._login(site, client)
        return StorageProbe(
            host=client.name,
            spec={"path": DEVICE, "offset": size - MIB, "write": True},
            counters={disk: f"/sys/block/{disk}/stat"},
            evidence=tuple(path.format(session=session, disk=disk) for path in EVIDENCE),
        )

    def _serve(self, site: Site, size: int) -> None:
        server = site.role(self.server)
        self._folder.make_image(site, self.client, size)
        server.shell.run(self.program.start(self._folder.image, size), deadline=site.deadline(20))
        if server.shell.run(LISTENS, deadline=site.deadline(10), check=False).exit_code:
            raise InfraError(f"{server.name}: {self.program} does not listen on port {PORT}")

    def _login(self, site: Site, client: Target) -> tuple[str, str]:
        timeout = self.replacement_timeout_s or FOR_EVER
        login = LOGIN.format(notes=NOTES, ours=OURS, record=self._record(site), timeout=timeout)
        client.shell.run(login, deadline=site.deadline(20))
        find = FIND.format(target=TARGET, device=DEVICE)
        found = client.shell.run(find, deadline=site.deadline(20)).stdout.split()
        if len(found) != 2:
            raise InfraError(f"{client.name}: logged in to {TARGET}, and no disk came")
        return found[0], found[1]

    def _record(self, site: Site) -> str:
        client = site.role(self.client)
        address = site.address(site.role(self.server), seen_from=client)
        return RECORD.format(portal=f"{address}:{PORT}")

    def baseline(self, site: Site) -> float:
        """See `Storage.baseline`."""
        return pages_per_second(site.role(self.client), site, f"dd if=/dev/zero of={DEVICE} oflag=direct")

    def tear_down(self, site: Site) -> None:
        """See `Storage.tear_down`."""
        client, server = site.role(self.client), site.role(self.server)
        logout = LOGOUT.format(record=self._record(site), device=DEVICE, ours=OURS, target=TARGET)
        try:
            client.agent.ask("storage", path=None, deadline=site.deadline(5))  # its probe has the disk open
            client.shell.run(logout, deadline=site.deadline(40))
        finally:
            server.shell.run(self.program.stop, deadline=site.deadline(20), check=False)
            self._folder.tear_down(site)
