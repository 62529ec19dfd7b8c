"""Files on an SMB share: samba on one host, the kernel's cifs on another, or on the same one."""

from __future__ import annotations

from dataclasses import dataclass

from harness.model.errors import InfraError, UsageError
from harness.model.storage_protocols import SMB, StorageProtocol
from harness.model.topology import MIB, Topology
from harness.site.needs import Needs
from harness.site.target import Site
from harness.storage.base import MEMORY, ServedBy, StorageProbe, serves, unmount
from harness.storage.folder import Folder
from harness.storage.mount import Mount, written_through

FOLDER = "/srv/harness-smb"
NAME = "harness"
DATA, STATE = f"{FOLDER}/data", f"{FOLDER}/state"
MOUNT = "/mnt/harness-smb"
PORT = SMB.port
SHORTEST_S, LONGEST_S = 1, 600  # SMB_ECHO_INTERVAL_MIN and _MAX, fs/smb/client/cifsglob.h
# Intervals without an answer after which cifs reconnects: server_unresponsive(), fs/smb/client/connect.c
ECHOES = 3
ROOM = 16 * MIB  # for the server's own files
# Every user is root, and all files of the server lie in one folder.
CONFIG = f"""\
[global]
server role = standalone
map to guest = Bad User
guest account = root
log file = {STATE}/log
lock directory = {STATE}
private dir = {STATE}
state directory = {STATE}
cache directory = {STATE}
pid directory = {STATE}
ncalrpc dir = {STATE}/ncalrpc
disable netbios = yes
smb ports = {PORT}
load printers = no
printing = bsd
printcap name = /dev/null
disable spoolss = yes
[{NAME}]
path = {DATA}
guest ok = yes
read only = no
"""
SERVE = f"""\
mkdir -p {DATA} {STATE} && printf %%s %s >{FOLDER}/smb.conf && smbd -D -s {FOLDER}/smb.conf && \
for i in $(seq 50); do ss -Hltn 'sport = :{PORT}' | grep -q . && exit 0; sleep 0.1; done; exit 1"""
STOP = "pkill -CONT -x smbd; pkill -x smbd; for i in $(seq 50); do pgrep -x smbd >/dev/null || break; sleep 0.1; done"
EVIDENCE = ("/proc/fs/cifs/DebugData", "/proc/fs/cifs/Stats", "/proc/net/tcp", *MEMORY)


@dataclass(frozen=True, slots=True, kw_only=True)
class SmbDisk:
    """Files on a hard SMB mount of the role `client`, served by samba on the role `server`. A load writes to `path`.

    There is room for `ratio` × the client's memory; `Folder` describes where the server keeps it. A hard mount waits
    for its server for ever. cifs notices an outage, and reconnects, after three times `echo_interval_s`.
    """

    client: str = "client"
    server: str = "server"
    ratio: float = 0.5
    echo_interval_s: int = 10
    version: str = "3.1.1"

    def __post_init__(self) -> None:
        """Raises UsageError for an interval that cifs would refuse."""
        if not SHORTEST_S <= self.echo_interval_s <= LONGEST_S:
            given = self.echo_interval_s
            raise UsageError(f"SMB: echo_interval of {given} s; cifs accepts {SHORTEST_S} to {LONGEST_S} s")

    @property
    def path(self) -> str:
        """The file on the mount that a load writes to."""
        return self._mount.path

    def describe(self) -> str:
        """See `Storage.describe`."""
        return f"SMB {self.version} mount of {self.client}, served by {self.server} (samba)"

    @property
    def protocol(self) -> StorageProtocol | None:
        """See `Storage.protocol`."""
        return SMB

    def served_by(self, topology: Topology) -> ServedBy:
        """See `Storage.served_by`."""
        return serves(topology, [self.server], [self.client])

    @property
    def critical_tasks(self) -> tuple[str, ...]:
        """See `Storage.critical_tasks`."""
        return ("smbd", "cifsd")

    @property
    def bound_s(self) -> float:
        """See `Storage.bound_s`: the time until cifs notices the outage and reconnects."""
        return (ECHOES + 1) * self.echo_interval_s

    @property
    def _folder(self) -> Folder:
        return Folder(path=FOLDER, server=self.server)

    @property
    def _mount(self) -> Mount:
        options = f"guest,vers={self.version},hard,echo_interval={self.echo_interval_s}"
        counters = {"smb": "/proc/fs/cifs/Stats"}
        return Mount(folder=MOUNT, kind="cifs", options=options, counters=counters, evidence=EVIDENCE)

    def needs(self, topology: Topology) -> Needs:
        """See `Needing.needs`."""
        return {self.client: SMB.client_modules}

    def set_up(self, site: Site) -> StorageProbe:
        """See `Storage.set_up`."""
        client, server = site.role(self.client), site.role(self.server)
        self._folder.make(site, self.client, int(client.facts.memory * self.ratio) + ROOM)
        if server.shell.run(SERVE, CONFIG, deadline=site.deadline(20), check=False).exit_code:
            raise InfraError(f"{server.name}: smbd does not listen on port {PORT}")
        self._mount.attach(site, client, f"//{site.address(server, seen_from=client)}/{NAME}")
        return self._mount.probe(site, client)

    def baseline(self, site: Site) -> float:
        """See `Storage.baseline`."""
        return written_through(site, site.role(self.client), self.path)

    def tear_down(self, site: Site) -> None:
        """See `Storage.tear_down`; requests that still wait for the server fail."""
        client, server = site.role(self.client), site.role(self.server)
        try:
            client.agent.ask("storage", path=None, deadline=site.deadline(5))  # its probe has a file open there
            client.shell.run(
                f"{unmount(MOUNT)}; ! mountpoint -q {MOUNT} || umount -f -l {MOUNT}; rmdir {MOUNT}",
                deadline=site.deadline(30),
                check=False,
            )
        finally:
            server.shell.run(STOP, deadline=site.deadline(20), check=False)
            self._folder.tear_down(site)
