"""Files on an NFS mount served by the kernel's nfsd, on another host or on the same one."""

from __future__ import annotations

from dataclasses import dataclass

from harness.model.errors import UsageError
from harness.model.storage_protocols import NFS
from harness.model.topology import Topology
from harness.site.needs import Needs, together
from harness.site.target import Site
from harness.storage.nfs_files import FOLDER, NfsFiles
from harness.storage.nfs_mount import check_times, is_v3

PIPES = "/run/rpc_pipefs"  # the path in Debian's nfs.conf
CLIENTS = "/var/lib/nfs/nfsdcld"  # the clients that may reclaim their state after a restart
THREADS = 8  # rpc.nfsd's default in Debian
# A guest starts no daemons by itself. Version 4 needs no rpcbind, statd or lockd. Version 3 without locks needs only
# rpcbind, which gives clients the ports of mountd and nfsd.
PREPARE = """\
modprobe nfsd && mkdir -p {pipes} {clients} && \
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
umount -l /proc/fs/nfsd {PIPES}; rm -rf {CLIENTS}; rmdir {PIPES}; true"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NfsDisk(NfsFiles):
    """Files on NFS, served by the kernel's nfsd (see `NfsFiles`) with `threads` threads."""

    threads: int = THREADS

    def _check(self) -> None:
        check_times("NFS", self.lease_s, self.grace_s)
        if self.threads < 1:
            raise UsageError(f"NFS: {self.threads} threads; the server needs 1 or more")

    def describe(self) -> str:
        """See `Storage.describe`."""
        threads = "" if self.threads == THREADS else f", {self.threads} threads"
        return self._served_by(self.server) + threads

    @property
    def critical_tasks(self) -> tuple[str, ...]:
        """See `Storage.critical_tasks`."""
        return ("nfsd", "rpc.mountd", "rpcbind" if is_v3(self.version) else "nfsdcld")

    def needs(self, topology: Topology) -> Needs:
        """See `Needing.needs`."""
        v4 = () if is_v3(self.version) else ("CONFIG_NFSD_V4",)
        return together(NfsFiles.needs(self, topology), {self.server: (*NFS.server_modules, *v4)})

    def _serve(self, site: Site) -> None:
        words = {"pipes": PIPES, "clients": CLIENTS, "lease": self.lease_s, "grace": self.grace_s}
        words |= {"export": EXPORTFS.format(folder=FOLDER), "threads": self.threads}
        serve = f"{PREPARE} && {SERVE[is_v3(self.version)]}".format(**words)
        site.role(self.server).shell.run(serve, deadline=site.deadline(20))

    @property
    def _stop(self) -> str:
        return STOP
