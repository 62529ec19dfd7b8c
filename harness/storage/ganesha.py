"""Files on an NFS mount served by nfs-ganesha, a userspace server, with its VFS back end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.model.errors import UsageError
from harness.model.storage_protocols import NFS
from harness.site.target import Site
from harness.site.zipapp import pack
from harness.storage.nfs_files import FOLDER, NfsFiles

LAUNCHER = Path(__file__).parent / "guest" / "ganesha_launcher.py"
RUN = "/run/harness/ganesha"
PID_FILE, LOG = f"{RUN}/pid", f"{RUN}/log"
STATE = "/var/lib/nfs/ganesha"  # the clients that may reclaim (RecoveryBackend fs)
LONGEST_LEASE_S, LONGEST_GRACE_S = 120, 180  # nfs-ganesha's ganesha-core-config(8)
PORT = NFS.port
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
    f"mkdir -p {STATE} && (setsid python3 -I -S {RUN}/launcher.pyz {RUN}/conf {LOG} {PID_FILE}%s >{RUN}/out 2>&1 "
    f"</dev/null &); for i in $(seq 100); do ss -Hltn 'sport = :{PORT}' | grep -q . && exit 0; "
    f"sleep 0.2; test ! -s {PID_FILE} || kill -0 $(cat {PID_FILE}) || break; done; tail -n 5 {RUN}/out {LOG}; exit 1"
)
STOP = (
    f"kill $(cat {PID_FILE}); for i in $(seq 50); do kill -0 $(cat {PID_FILE}) || break; sleep 0.2; done 2>/dev/null; "
    f"kill -KILL $(cat {PID_FILE}) 2>/dev/null; rm -rf {RUN} {STATE}; true"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GaneshaDisk(NfsFiles):
    """Files on NFSv4, served by nfs-ganesha (see `NfsFiles`).

    The server is exempt from the OOM killer. With `io_flusher` (PR_SET_IO_FLUSHER) its allocations start no I/O, and
    its writes are throttled by the dirty pages of its own disk alone. With `locked` its memory is locked (mlockall).
    """

    io_flusher: bool = False
    locked: bool = False

    def _check(self) -> None:
        if not (0 < self.lease_s <= LONGEST_LEASE_S and 0 <= self.grace_s <= LONGEST_GRACE_S):
            raise UsageError(
                f"nfs-ganesha: a lease of {self.lease_s} s and a grace of {self.grace_s} s; "
                f"it accepts 1 to {LONGEST_LEASE_S} s and 0 to {LONGEST_GRACE_S} s"
            )
        if self.version not in ("4.1", "4.2"):
            raise UsageError(f"nfs-ganesha: version {self.version!r}; it is set up for 4.1 and 4.2")

    def describe(self) -> str:
        """See `Storage.describe`."""
        means = [word for word, used in (("IO flusher", self.io_flusher), ("locked", self.locked)) if used]
        how = f" ({', '.join(means)})" if means else ""
        return self._served_by(f"nfs-ganesha{how} on {self.server}")

    @property
    def critical_tasks(self) -> tuple[str, ...]:
        """See `Storage.critical_tasks`."""
        return ("ganesha.nfsd",)

    def _serve(self, site: Site) -> None:
        server = site.role(self.server)
        config = CONFIG.format(port=PORT, lease=self.lease_s, grace=self.grace_s, folder=FOLDER)
        server.shell.run(f"mkdir -p {RUN}", deadline=site.deadline(10))
        server.shell.put(config.encode(), f"{RUN}/conf", deadline=site.deadline(10))
        server.shell.put(pack(LAUNCHER), f"{RUN}/launcher.pyz", deadline=site.deadline(10))
        means = (" io_flusher" if self.io_flusher else "") + (" locked" if self.locked else "")
        server.shell.run(START.replace("%s", means), deadline=site.deadline(40))

    @property
    def _stop(self) -> str:
        return STOP
