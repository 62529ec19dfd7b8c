"""A hard NFS mount on a client, for any server."""

from __future__ import annotations

from harness.model.errors import UsageError
from harness.storage.base import MEMORY
from harness.storage.mount import Mount

MOUNT = "/mnt/harness-nfs"
VERSIONS = ("3", "4.0", "4.1", "4.2")
SHORTEST_S, LONGEST_S = 10, 3600  # nfsd's limits of lease and grace (__nfsd4_write_time in fs/nfsd/nfsctl.c)
TIMEO_S, RETRANS = 5, 2
CLIENT_MODULES = {True: ("nfs", "nfsv3"), False: ("nfs", "nfsv4")}  # key: is it version 3?
# -f makes requests in flight fail; -l works although the agent's probe has a file open there.
UNMOUNT = f"umount -f -l {MOUNT}; rmdir {MOUNT}; true"
EVIDENCE = ("/proc/net/rpc/nfs", "/proc/self/mountstats", "/proc/fs/nfsfs/servers", "/proc/net/tcp", *MEMORY)


def hard_mount(version: str) -> Mount:
    """A hard mount with protocol `version`; raises UsageError for an unknown version."""
    if version not in VERSIONS:
        raise UsageError(f"NFS: no version {version!r}; there are: {', '.join(VERSIONS)}")
    options = f"vers={version},hard,timeo={TIMEO_S * 10},retrans={RETRANS}"
    if is_v3(version):
        options += ",nolock"  # locks of version 3 are a separate protocol with daemons on both hosts
    return Mount(
        folder=MOUNT,
        kind="nfs" if is_v3(version) else "nfs4",
        options=options,
        counters={"nfs": "/proc/net/rpc/nfs"},
        evidence=EVIDENCE,
    )


def is_v3(version: str) -> bool:
    """Whether the version is 3, where the server keeps no state: no lease, no grace."""
    return version == "3"


def check_times(who: str, lease_s: int, grace_s: int) -> None:
    """Raises UsageError for a lease or a grace that the server would refuse."""
    if not all(SHORTEST_S <= seconds <= LONGEST_S for seconds in (lease_s, grace_s)):
        raise UsageError(
            f"{who}: a lease of {lease_s} s and a grace of {grace_s} s; "
            f"the server accepts {SHORTEST_S} to {LONGEST_S} s"
        )
