"""Servers of the storage under test that stop and come back."""

from __future__ import annotations

from dataclasses import dataclass

from harness.targets.target import Site

THREADS = 8  # rpc.nfsd's default in Debian


@dataclass(frozen=True, slots=True, kw_only=True)
class NfsServerRestart:
    """The kernel's NFS server on the host that plays `role` stops; healing starts it again, v4 only.

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
        site.role(self.role).shell.run("rpc.nfsd 0", deadline=site.deadline(10))

    def heal(self, site: Site) -> None:
        """See `Fault.heal`."""
        site.role(self.role).shell.run(f"rpc.nfsd -N 3 {THREADS}", deadline=site.deadline(10))


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
