"""Files on an NFS mount that a userspace server serves: nfs-ganesha, with its VFS back end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.model.errors import UsageError
from harness.storage.base import StorageProbe
from harness.storage.export import FOLDER, Export
from harness.storage.nfs_mount import MOUNT, RETRANS, TIMEO_S, NfsMount
from harness.targets.target import Site

LAUNCHER = Path(__file__).parent / "guest" / "ganesha_launcher.py"
RUN = "/run/harness/ganesha"
PID_FILE, LOG = f"{RUN}/pid", f"{RUN}/log"
STATE = "/var/lib/nfs/ganesha"  # where the clients are noted that may reclaim (RecoveryBackend fs)
LONGEST_LEASE_S, LONGEST_GRACE_S = 120, 180  # nfs-ganesha's ganesha-core-config(8)
PORT = 2049
CONFIG = """\
NFS_CORE_PARAM {{ Protocols = 4; NFS_Port = {port}; Enable_NLM = false; Enable_RQUOTA = false; }}
NFSv4 {{ Lease_Lifetime = {lease}; Grace_Period = {grace}; Minor_Versions = 1, 2; RecoveryBackend = fs; }}
NFS_KRB5 {{ Active_krb5 = false; }}
EXPORT {{
    Export_Id = 1; Path = {folder}; Pseudo = {folder}; Protocols = 4; Transports = TCP;
    Access_Type = RW; Squash = No_Root_Squash; SecType = sys; FSAL {{ Name = VFS; }}
}}
"""
START = (
    f"mkdir -p {STATE} && (setsid python3 -I -S {RUN}/launcher.py {RUN}/conf {LOG} {PID_FILE}%s >{RUN}/out 2>&1 "
    f"</dev/null &); for i in $(seq 100); do ss -Hltn 'sport = :{PORT}' | grep -q . && exit 0; "
    f"sleep 0.2; test ! -s {PID_FILE} || kill -0 $(cat {PID_FILE}) || break; done; tail -n 5 {RUN}/out {LOG}; exit 1"
)
STOP = (
    f"kill $(cat {PID_FILE}); for i in $(seq 50); do kill -0 $(cat {PID_FILE}) || break; sleep 0.2; done 2>/dev/null; "
    f"kill -KILL $(cat {PID_FILE}) 2>/dev/null; rm -rf {RUN} {STATE}; true"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GaneshaDisk:
    """Files on a hard NFSv4 mount of the role `client`, served by nfs-ganesha on the role `server`.

    Where the server keeps them: see `Export`. It is never the OOM killer's choice. As an `io_flusher` its allocations
    start no I/O and its writes are throttled by its own disk alone (PR_SET_IO_FLUSHER); `locked`, none of its memory is
    ever given back.
    """

    client: str = "client"
    server: str = "server"
    version: str = "4.2"
    lease_s: int = 10
    grace_s: int = 10
    io_flusher: bool = False
    locked: bool = False
    scratch: bool = False
    bytes_per_s: int | None = None

    def __post_init__(self) -> None:
        """Raises UsageError for what the server or the client would refuse."""
        if not (0 < self.lease_s <= LONGEST_LEASE_S and 0 <= self.grace_s <= LONGEST_GRACE_S):
            raise UsageError(
                f"nfs-ganesha: a lease of {self.lease_s} s and a grace of {self.grace_s} s; "
                f"it accepts 1 to {LONGEST_LEASE_S} s and 0 to {LONGEST_GRACE_S} s"
            )
        if self.version not in ("4.1", "4.2"):
            raise UsageError(f"nfs-ganesha: version {self.version!r}; it is set up for 4.1 and 4.2")
        _ = self._mount, self._export

    @property
    def path(self) -> str:
        """A file on the mount, for a load."""
        return f"{MOUNT}/load"

    @property
    def mount(self) -> str:
        """Where the client has mounted it."""
        return MOUNT

    def describe(self) -> str:
        """See `Storage.describe`."""
        means = [word for word, used in (("IO flusher", self.io_flusher), ("locked", self.locked)) if used]
        how = f" ({', '.join(means)})" if means else ""
        where = f"served by nfs-ganesha{how} on {self.server}{self._export.describe()}"
        return f"NFS {self.version} mount of {self.client}, {where}"

    @property
    def mortal(self) -> tuple[str, ...]:
        """See `Storage.mortal`."""
        return ("ganesha.nfsd",)

    @property
    def bound_s(self) -> float:
        """See `Storage.bound_s`: as of the kernel's server (`NfsDisk.bound_s`)."""
        return self.lease_s + self.grace_s + TIMEO_S * RETRANS

    @property
    def _mount(self) -> NfsMount:
        return NfsMount(client=self.client, server=self.server, version=self.version)

    @property
    def _export(self) -> Export:
        return Export(client=self.client, server=self.server, scratch=self.scratch, bytes_per_s=self.bytes_per_s)

    def set_up(self, site: Site) -> StorageProbe:
        """See `Storage.set_up`; raises UsageError if a scratch disk is wanted that the server does not have."""
        self._export.set_up(site)
        server = site.role(self.server)
        config = CONFIG.format(port=PORT, lease=self.lease_s, grace=self.grace_s, folder=FOLDER)
        server.shell.run(f"mkdir -p {RUN}", deadline=site.deadline(10))
        server.shell.put(config.encode(), f"{RUN}/conf", deadline=site.deadline(10))
        server.shell.put(LAUNCHER, f"{RUN}/launcher.py", deadline=site.deadline(10))
        means = (" io_flusher" if self.io_flusher else "") + (" locked" if self.locked else "")
        server.shell.run(START.replace("%s", means), deadline=site.deadline(40))
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
