"""Restarts of servers of the storage under test."""

from __future__ import annotations

from dataclasses import dataclass

from harness.site.target import Site

# Arguments for the restart: the versions that were off, and the number of threads.
AGAIN = "/run/harness/nfsd-again"
STOP = (
    f"for v in 3 4; do grep -q -- \"-$v \" /proc/fs/nfsd/versions && printf -- '-N %s ' $v; done >{AGAIN}; "
    f"cat /proc/fs/nfsd/threads >>{AGAIN} && rpc.nfsd 0"
)
# Started in the background: a server may hang in its start because of the state of its host, which is what the case
# is about. A server that refuses to start fails at once.
START = (
    f"rm -f {AGAIN}.code; (setsid rpc.nfsd $(cat {AGAIN}) >{AGAIN}.log 2>&1; echo $? >{AGAIN}.code) "
    f">/dev/null 2>&1 </dev/null & for i in $(seq 10); do test -s {AGAIN}.code && break; sleep 0.5; done; "
    f"! test -s {AGAIN}.code || {{ cat {AGAIN}.log; exit $(cat {AGAIN}.code); }}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NfsServerRestart:
    """The kernel's NFS server on the host that plays `role` stops; healing starts it again with its former settings.

    The server remembers its clients (/var/lib/nfs/nfsdcld). It lets them reclaim their state, and makes all other
    requests wait for the end of the grace period.
    """

    role: str = "server"
    at_s: float = 0.0
    heal_after_s: float | None = 5.0

    def describe(self) -> str:
        """See `Fault.describe`."""
        return f"NFS server on {self.role} stopped"

    def inject(self, site: Site) -> None:
        """See `Fault.inject`."""
        site.role(self.role).shell.run(STOP, deadline=site.deadline(10))

    def heal(self, site: Site) -> None:
        """See `Fault.heal`; waits about five seconds for the server to start, then leaves it starting."""
        site.role(self.role).shell.run(START, deadline=site.deadline(10))


@dataclass(frozen=True, slots=True, kw_only=True)
class NbdServerRestart:
    """On the host that plays `role`, nbd-server's serving processes are killed and its main process is stopped.

    The server accepts no new connection until healed. Its main process is not restarted: a new one would compute
    Diffie-Hellman parameters before it answers (3.24), for seconds, or tens of seconds under emulation. The length of
    the fault would then be a matter of chance.
    """

    role: str = "server"
    at_s: float = 0.0
    heal_after_s: float | None = 5.0

    def describe(self) -> str:
        """See `Fault.describe`."""
        return f"nbd-server on {self.role} gone"

    def inject(self, site: Site) -> None:
        """See `Fault.inject`."""
        command = "server=$(pgrep -o -x nbd-server) && kill -STOP $server && pkill -KILL -P $server"
        site.role(self.role).shell.run(command, deadline=site.deadline(10))

    def heal(self, site: Site) -> None:
        """See `Fault.heal`."""
        site.role(self.role).shell.run("pkill -CONT -o -x nbd-server", deadline=site.deadline(10))
