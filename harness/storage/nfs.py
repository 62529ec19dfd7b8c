"""A file on an NFS mount: the kernel's server on one host, a hard v4 mount on another, or on the same one."""

from __future__ import annotations

from dataclasses import dataclass

from harness.model.errors import UsageError
from harness.model.topology import MIB
from harness.storage.base import PAGE, StorageProbe, pages_per_second
from harness.targets.target import Site

EXPORT = "/srv/harness-nfs"
MOUNT = "/mnt/harness-nfs"
PIPES = "/run/rpc_pipefs"  # where Debian's nfs.conf has it
CLIENTS = "/var/lib/nfs/nfsdcld"  # whose state may be reclaimed after a restart
SIZE = 64 * MIB
THREADS = 8
SHORTEST_S, LONGEST_S = 10, 3600  # what nfsd accepts for lease and grace (__nfsd4_write_time in fs/nfsd/nfsctl.c)
TIMEO_S, RETRANS = 5, 2
EVIDENCE = (
    "/proc/net/rpc/nfs",
    "/proc/self/mountstats",
    "/proc/fs/nfsfs/servers",
    "/proc/net/tcp",
    "/proc/meminfo",
    "/proc/vmstat",
    "/proc/pressure/memory",
    "/proc/pressure/io",
)
# Nobody starts daemons on a guest but whoever needs them. Version 4 needs no rpcbind, no statd, no lockd.
SERVE = """\
modprobe nfsd && mkdir -p {pipes} {clients} && \
mount -t rpc_pipefs none {pipes} && {{ mountpoint -q /proc/fs/nfsd || mount -t nfsd none /proc/fs/nfsd; }} && \
echo {lease} >/proc/fs/nfsd/nfsv4leasetime && echo {grace} >/proc/fs/nfsd/nfsv4gracetime && \
nfsdcld && rpc.mountd -N 2 -N 3 && \
exportfs -i -o rw,sync,no_root_squash,no_subtree_check,fsid=1 '*:{export}' && rpc.nfsd -N 3 {threads}"""
STOP = """\
rpc.nfsd 0; exportfs -u '*:{export}'; pkill -x rpc.mountd; pkill -x nfsdcld; \
umount -l /proc/fs/nfsd {pipes}; umount -l {export}; rm -rf {export} {clients}; rmdir {pipes}; true"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NfsDisk:
    """Files on a hard NFS mount of the role `client`, served by the role `server`; `path` is where a load may write.

    The server keeps them in memory (tmpfs) when it is another host with room for it, so that its disk is not what is
    measured, and on its root file system when it is the client itself. `lease_s` and `grace_s` are the server's.
    """

    client: str = "client"
    server: str = "server"
    version: str = "4.2"
    lease_s: int = 10
    grace_s: int = 10

    def __post_init__(self) -> None:
        if not all(SHORTEST_S <= seconds <= LONGEST_S for seconds in (self.lease_s, self.grace_s)):
            raise UsageError(
                f"NFS: a lease of {self.lease_s} s and a grace of {self.grace_s} s; "
                f"the server accepts {SHORTEST_S} to {LONGEST_S} s"
            )
        if not self.version.startswith("4."):
            raise UsageError(f"NFS: version {self.version!r}; lease and grace are of versions 4.0, 4.1 and 4.2")

    @property
    def path(self) -> str:
        """A file on the mount, for a load."""
        return f"{MOUNT}/load"

    def describe(self) -> str:
        """See `Storage.describe`."""
        return f"NFS {self.version} mount of {self.client}, served by {self.server}"

    @property
    def mortal(self) -> tuple[str, ...]:
        """See `Storage.mortal`."""
        return ("nfsd", "rpc.mountd", "nfsdcld")

    @property
    def bound_s(self) -> float:
        """See `Storage.bound_s`: lease + grace + `timeo` × `retrans`.

        A server that comes back within its lease makes whoever has nothing to reclaim wait for its grace. `timeo` ×
        `retrans` is for the client: it has to notice (`timeo`) and to connect again, which it tries at least every half
        lease (nfs4_set_lease_period), and it comes back late from the last of its delays, which double up to 6.4 s in a
        grace of 10 s (nfs4_update_delay).
        """
        return self.lease_s + self.grace_s + TIMEO_S * RETRANS

    def set_up(self, site: Site) -> StorageProbe:
        """See `Storage.set_up`."""
        client, server = site.role(self.client), site.role(self.server)
        self._serve(site)
        options = f"vers={self.version},hard,timeo={TIMEO_S * 10},retrans={RETRANS}"
        source = f"{site.address(server, seen_from=client)}:{EXPORT}"
        client.shell.run(
            f"mkdir -p {MOUNT} && mount -t nfs4 -o {options} {source} {MOUNT} && truncate -s {PAGE} {MOUNT}/probe",
            deadline=site.deadline(20),
        )
        return StorageProbe(
            host=client.name,
            spec={"path": f"{MOUNT}/probe", "offset": 0, "write": True},
            counters={"nfs": "/proc/net/rpc/nfs"},
            evidence=EVIDENCE,
        )

    def _serve(self, site: Site) -> None:
        server = site.role(self.server)
        apart = server.name != site.role(self.client).name
        in_memory = apart and server.memory > SIZE + 128 * MIB
        make = f"mkdir -p {EXPORT}" + (f" && mount -t tmpfs -o size={SIZE} none {EXPORT}" if in_memory else "")
        serve = SERVE.format(
            pipes=PIPES, clients=CLIENTS, lease=self.lease_s, grace=self.grace_s, export=EXPORT, threads=THREADS
        )
        server.shell.run(f"{make} && {serve}", deadline=site.deadline(20))

    def baseline(self, site: Site) -> float:
        """See `Storage.baseline`."""
        return pages_per_second(site.role(self.client), site, f"dd if=/dev/zero of={self.path} oflag=direct,dsync")

    def tear_down(self, site: Site) -> None:
        """See `Storage.tear_down`; what still waits for the server is told that it failed."""
        try:
            # Forced, requests under way fail; lazily, it does not matter that the agent's probe has a file open there.
            site.role(self.client).shell.run(
                f"umount -f -l {MOUNT}; rmdir {MOUNT}; true", deadline=site.deadline(20), check=False
            )
        finally:
            stop = STOP.format(export=EXPORT, clients=CLIENTS, pipes=PIPES)
            site.role(self.server).shell.run(stop, deadline=site.deadline(20), check=False)
