"""Servers of the storage under test that stop and come back."""

from __future__ import annotations

from dataclasses import dataclass

from harness.site.target import Site

# How to start it again: the versions that were off, and as many threads as there were.
AGAIN = "/run/harness/nfsd-again"
STOP = (
    f"for v in 3 4; do grep -q -- \"-$v \" /proc/fs/nfsd/versions && printf -- '-N %s ' $v; done >{AGAIN}; "
    f"cat /proc/fs/nfsd/threads >>{AGAIN} && rpc.nfsd 0"
)
# Started beside us: a server that cannot start because of what its stop has done to the host is the very thing that is
# watched for. One that refuses to start says so at once.
START = (
    f"rm -f {AGAIN}.code; (setsid rpc.nfsd $(cat {AGAIN}) >{AGAIN}.log 2>&1; echo $? >{AGAIN}.code) "
    f">/dev/null 2>&1 </dev/null & for i in $(seq 10); do test -s {AGAIN}.code && break; sleep 0.5; done; "
    f"! test -s {AGAIN}.code || {{ cat {AGAIN}.log; exit $(cat {AGAIN}.code); }}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NfsServerRestart:
    """The kernel's NFS server on the host that plays `role` stops; healing starts it again, as it was.

    It remembers its clients (/var/lib/nfs/nfsdcld), so it lets them reclaim what they had open and makes everybody else
    wait for the grace period.
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
        """See `Fault.heal`; gives it five seconds or so, and leaves it to itself then."""
        site.role(self.role).shell.run(START, deadline=site.deadline(10))


@dataclass(frozen=True, slots=True, kw_only=True)
class NbdServerRestart:
    """What serves on the host that plays `role` is killed, and nbd-server takes no new connection until it is healed.

    It is stopped and not started anew: for seconds, and under emulation for tens of them, a new one would compute
    Diffie-Hellman parameters before it answers (3.24), which would make the length of the fault a matter of chance.
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
