"""A hard NFS mount of a host, whoever serves it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from harness.model.errors import HarnessError, UsageError
from harness.storage.base import PAGE, StorageProbe, pages_per_second
from harness.storage.export import FOLDER
from harness.storage.footprint import Modules
from harness.targets.target import Site

MOUNT = "/mnt/harness-nfs"
VERSIONS = ("3", "4.0", "4.1", "4.2")
SHORTEST_S, LONGEST_S = 10, 3600  # what nfsd accepts for lease and grace (__nfsd4_write_time in fs/nfsd/nfsctl.c)
TIMEO_S, RETRANS = 5, 2
MODULES = Modules(name="nfs-client", modules=("nfsv3", "nfsv4", "nfs", "rpcsec_gss_krb5"))
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


@dataclass(frozen=True, slots=True, kw_only=True)
class NfsMount:
    """The role `client` mounts what the role `server` exports, with protocol `version`."""

    client: str
    server: str
    version: str

    def __post_init__(self) -> None:
        """Raises UsageError for a version that there is not."""
        if self.version not in VERSIONS:
            raise UsageError(f"NFS: no version {self.version!r}; there are: {', '.join(VERSIONS)}")

    @property
    def is_v3(self) -> bool:
        """Whether there is no lease, no state at the server, and so no grace either."""
        return self.version == "3"

    def set_up(self, site: Site) -> StorageProbe:
        """Mount it; raises ShellError if the server does not let us."""
        client, server = site.role(self.client), site.role(self.server)
        options = f"vers={self.version},hard,timeo={TIMEO_S * 10},retrans={RETRANS}"
        if self.is_v3:
            options += ",nolock"  # locks of version 3 are another protocol, with daemons of its own on both hosts
        source = f"{site.address(server, seen_from=client)}:{FOLDER}"
        kind = "nfs" if self.is_v3 else "nfs4"
        client.shell.run(
            f"{MODULES.note} && mkdir -p {MOUNT} && mount -t {kind} -o {options} {source} {MOUNT} && "
            f"truncate -s {PAGE} {MOUNT}/probe",
            deadline=site.deadline(20),
        )
        return StorageProbe(
            host=client.name,
            spec={"path": f"{MOUNT}/probe", "offset": 0, "write": True},
            counters={"nfs": "/proc/net/rpc/nfs"},
            evidence=EVIDENCE,
        )

    def baseline(self, site: Site, path: str) -> float:
        """Pages a second that are written through to the server."""
        return pages_per_second(site.role(self.client), site, f"dd if=/dev/zero of={path} oflag=direct,dsync")

    def tear_down(self, site: Site) -> None:
        """Unmount it; what still waits for the server is told that it failed."""
        client = site.role(self.client)
        # Forced, requests under way fail; lazily, it does not matter that the agent's probe has a file open there.
        client.shell.run(f"umount -f -l {MOUNT}; rmdir {MOUNT}; true", deadline=site.deadline(20), check=False)
        with suppress(HarnessError):  # a probe that still waits keeps the modules, and nothing else
            client.agent.ask("storage", path=None, deadline=site.deadline(5))
        client.shell.run(MODULES.unload, deadline=site.deadline(20), check=False)


def check_times(who: str, lease_s: int, grace_s: int) -> None:
    """Raises UsageError for a lease or a grace that the server would refuse."""
    if not all(SHORTEST_S <= seconds <= LONGEST_S for seconds in (lease_s, grace_s)):
        raise UsageError(
            f"{who}: a lease of {lease_s} s and a grace of {grace_s} s; "
            f"the server accepts {SHORTEST_S} to {LONGEST_S} s"
        )
