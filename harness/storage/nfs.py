"""A file on an NFS mount: the kernel's server on one host, a hard mount on another, or on the same one."""

from __future__ import annotations

from dataclasses import dataclass

from harness.model.errors import UsageError
from harness.storage.base import StorageProbe
from harness.storage.export import FOLDER, Export
from harness.storage.footprint import Modules
from harness.storage.nfs_mount import MOUNT, RETRANS, TIMEO_S, NfsMount, check_times
from harness.targets.target import Site

PIPES = "/run/rpc_pipefs"  # where Debian's nfs.conf has it
CLIENTS = "/var/lib/nfs/nfsdcld"  # whose state may be reclaimed after a restart
THREADS = 8  # rpc.nfsd's default in Debian
MODULES = Modules(name="nfs-server", modules=("nfsd",))
# Nobody starts daemons on a guest but whoever needs them. Version 4 needs no rpcbind, no statd, no lockd; version 3,
# without locks, only rpcbind, where clients ask for the ports of mountd and nfsd.
PREPARE = """\
{note} && modprobe nfsd && mkdir -p {pipes} {clients} && \
mount -t rpc_pipefs none {pipes} && {{ mountpoint -q /proc/fs/nfsd || mount -t nfsd none /proc/fs/nfsd; }}"""
SERVE = {
    False: """\
echo {lease} >/proc/fs/nfsd/nfsv4leasetime && echo {grace} >/proc/fs/nfsd/nfsv4gracetime && \
nfsdcld && rpc.mountd -N 2 -N 3 && {export} && rpc.nfsd -N 3 {threads}""",
    True: "rpcbind && rpc.mountd -N 2 -N 4 && {export} && rpc.nfsd -N 4 {threads}",
}
EXPORTFS = "exportfs -i -o rw,sync,no_root_squash,no_subtree_check,fsid=1 '*:{folder}'"
STOP = f"""\
rpc.nfsd 0; exportfs -u '*:{FOLDER}'; pkill -x rpc.mountd; pkill -x nfsdcld; pkill -x rpcbind; \
umount -l /proc/fs/nfsd {PIPES}; rm -rf {CLIENTS}; rmdir {PIPES}; {MODULES.unload}; true"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NfsDisk:
    """Files on a hard NFS mount of the role `client`, served by the role `server`; `path` is where a load may write.

    Where the server keeps them: see `Export`. `lease_s` and `grace_s` are the server's, and mean nothing to version 3;
    `threads` is how many it has.
    """

    client: str = "client"
    server: str = "server"
    version: str = "4.2"
    lease_s: int = 10
    grace_s: int = 10
    threads: int = THREADS
    scratch: bool = False
    bytes_per_s: int | None = None

    def __post_init__(self) -> None:
        """Raises UsageError for what the server or the client would refuse."""
        check_times("NFS", self.lease_s, self.grace_s)
        if self.threads < 1:
            raise UsageError(f"NFS: {self.threads} threads; the server needs 1 or more")
        _ = self._mount, self._export

    @property
    def path(self) -> str:
        """A file on the mount, for a load."""
        return f"{MOUNT}/load"

    @property
    def mount(self) -> str:
        """Where the client has mounted it."""
        return MOUNT

    @property
    def folder(self) -> str:
        """What the server exports."""
        return FOLDER

    def describe(self) -> str:
        """See `Storage.describe`."""
        where = f"served by {self.server}{self._export.describe()}"
        threads = "" if self.threads == THREADS else f", {self.threads} threads"
        return f"NFS {self.version} mount of {self.client}, {where}{threads}"

    @property
    def mortal(self) -> tuple[str, ...]:
        """See `Storage.mortal`."""
        return ("nfsd", "rpc.mountd", "rpcbind") if self._mount.is_v3 else ("nfsd", "rpc.mountd", "nfsdcld")

    @property
    def bound_s(self) -> float:
        """See `Storage.bound_s`: lease + grace + `timeo` × `retrans`; of version 3 only the last.

        A server that comes back within its lease makes whoever has nothing to reclaim wait for its grace. `timeo` ×
        `retrans` is for the client: it has to notice (`timeo`) and to connect again, which it tries at least every half
        lease (nfs4_set_lease_period), and it comes back late from the last of its delays, which double up to 6.4 s in a
        grace of 10 s (nfs4_update_delay).
        """
        waits = 0 if self._mount.is_v3 else self.lease_s + self.grace_s
        return waits + TIMEO_S * RETRANS

    @property
    def _mount(self) -> NfsMount:
        return NfsMount(client=self.client, server=self.server, version=self.version)

    @property
    def _export(self) -> Export:
        return Export(client=self.client, server=self.server, scratch=self.scratch, bytes_per_s=self.bytes_per_s)

    def set_up(self, site: Site) -> StorageProbe:
        """See `Storage.set_up`; raises UsageError if a scratch disk is wanted that the server does not have."""
        self._export.set_up(site)
        words = {"note": MODULES.note, "pipes": PIPES, "clients": CLIENTS, "lease": self.lease_s, "grace": self.grace_s}
        words |= {"export": EXPORTFS.format(folder=FOLDER), "threads": self.threads}
        serve = f"{PREPARE} && {SERVE[self._mount.is_v3]}".format(**words)
        site.role(self.server).shell.run(serve, deadline=site.deadline(20))
        return self._mount.set_up(site)

    def baseline(self, site: Site) -> float:
        """See `Storage.baseline`."""
        return self._mount.baseline(site, self.path)

    def tear_down(self, site: Site) -> None:
        """See `Storage.tear_down`."""
        try:
            self._mount.tear_down(site)
        finally:
            site.role(self.server).shell.run(STOP, deadline=site.deadline(20), check=False)
            self._export.tear_down(site)
