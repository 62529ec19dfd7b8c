"""A hard NFS mount of a host, whoever serves it."""

from __future__ import annotations

from harness.model.errors import UsageError
from harness.storage.base import MEMORY
from harness.storage.mount import Mount

MOUNT = "/mnt/harness-nfs"
VERSIONS = ("3", "4.0", "4.1", "4.2")
SHORTEST_S, LONGEST_S = 10, 3600  # what nfsd accepts for lease and grace (__nfsd4_write_time in fs/nfsd/nfsctl.c)
TIMEO_S, RETRANS = 5, 2
CLIENT_MODULES = {True: ("nfs", "nfsv3"), False: ("nfs", "nfsv4")}  # by whether it is version 3
# Forced, requests under way fail; lazily, it does not matter that the agent's probe has a file open there.
UNMOUNT = f"umount -f -l {MOUNT}; rmdir {MOUNT}; true"
EVIDENCE = ("/proc/net/rpc/nfs", "/proc/self/mountstats", "/proc/fs/nfsfs/servers", "/proc/net/tcp", *MEMORY)


def hard_mount(version: str) -> Mount:
    """A mount with protocol `version`; raises UsageError for one that there is not."""
    if version not in VERSIONS:
        raise UsageError(f"NFS: no version {version!r}; there are: {', '.join(VERSIONS)}")
    options = f"vers={version},hard,timeo={TIMEO_S * 10},retrans={RETRANS}"
    if is_v3(version):
        options += ",nolock"  # locks of version 3 are another protocol, with daemons of its own on both hosts
    return Mount(
        folder=MOUNT,
        kind="nfs" if is_v3(version) else "nfs4",
        options=options,
        counters={"nfs": "/proc/net/rpc/nfs"},
        evidence=EVIDENCE,
    )


def is_v3(version: str) -> bool:
    """Whether there is no lease, no state at the server, and so no grace either."""
    return version == "3"


def check_times(who: str, lease_s: int, grace_s: int) -> None:
    """Raises UsageError for a lease or a grace that the server would refuse."""
    if not all(SHORTEST_S <= seconds <= LONGEST_S for seconds in (lease_s, grace_s)):
        raise UsageError(
            f"{who}: a lease of {lease_s} s and a grace of {grace_s} s; "
            f"the server accepts {SHORTEST_S} to {LONGEST_S} s"
        )
