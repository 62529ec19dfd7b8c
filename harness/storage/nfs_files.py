"""Files on an NFS mount: what is the same of every server."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass

from harness.model.errors import HarnessError
from harness.model.storage_protocols import NFS, StorageProtocol
from harness.model.topology import MIB, Topology
from harness.site.capabilities import Capabilities
from harness.site.needs import Needs
from harness.site.target import Site
from harness.storage.base import ServedBy, StorageProbe, serves
from harness.storage.folder import Folder
from harness.storage.mount import Mount, written_through
from harness.storage.nfs_mount import CLIENT_MODULES, MOUNT, RETRANS, TIMEO_S, UNMOUNT, hard_mount, is_v3

FOLDER = "/srv/harness-nfs"
SIZE = 64 * MIB  # of the folder, where it is in memory


@dataclass(frozen=True, slots=True, kw_only=True)
class NfsFiles(ABC):
    """Files on a hard mount of the role `client`, served by the role `server`; `path` is where a load may write.

    Where the server keeps them: see `Folder`. `lease_s` and `grace_s` are the server's, and mean nothing to version 3.
    """

    client: str = "client"
    server: str = "server"
    version: str = "4.2"
    lease_s: int = 10
    grace_s: int = 10
    scratch: bool = False
    bytes_per_s: int | None = None

    def __post_init__(self) -> None:
        """Raises UsageError for what the server or the client would refuse."""
        self._check()
        _ = self._mount, self._folder

    @abstractmethod
    def _check(self) -> None:
        """Raises UsageError for what the server would refuse."""

    @abstractmethod
    def _serve(self, site: Site) -> None:
        """Start the server, whose folder is there; raises InfraError or ShellError if it does not serve."""

    @property
    @abstractmethod
    def _stop(self) -> str:
        """A command that ends the server, whatever state a fault left it in."""

    @property
    def path(self) -> str:
        """A file on the mount, for a load."""
        return self._mount.path

    @property
    def mount(self) -> str:
        """Where the client has mounted it."""
        return MOUNT

    @property
    def folder(self) -> str:
        """What the server exports."""
        return FOLDER

    @property
    def protocol(self) -> StorageProtocol | None:
        """See `Storage.protocol`."""
        return NFS

    def served_by(self, topology: Topology) -> ServedBy:
        """See `Storage.served_by`."""
        return serves(topology, [self.server], [self.client])

    @property
    def bound_s(self) -> float:
        """See `Storage.bound_s`: lease + grace + `timeo` × `retrans`; of version 3 only the last.

        A server that comes back within its lease makes whoever has nothing to reclaim wait for its grace. `timeo` ×
        `retrans` is for the client: it has to notice (`timeo`) and to connect again, which it tries at least every half
        lease (nfs4_set_lease_period), and it comes back late from the last of its delays, which double up to 6.4 s in a
        grace of 10 s (nfs4_update_delay).
        """
        waits = 0 if is_v3(self.version) else self.lease_s + self.grace_s
        return waits + TIMEO_S * RETRANS

    @property
    def _mount(self) -> Mount:
        return hard_mount(self.version)

    def requires(self) -> Capabilities:
        """See `Requiring.requires`."""
        return self._folder.requires()

    @property
    def _folder(self) -> Folder:
        return Folder(path=FOLDER, server=self.server, scratch=self.scratch, bytes_per_s=self.bytes_per_s)

    def _served_by(self, who: str) -> str:
        return f"NFS {self.version} mount of {self.client}, served by {who}{self._folder.describe()}"

    def needs(self, topology: Topology) -> Needs:
        """See `Needing.needs`: what the mount needs; servers of the kernel need more."""
        return {self.client: CLIENT_MODULES[is_v3(self.version)]}

    def set_up(self, site: Site) -> StorageProbe:
        """See `Storage.set_up`; raises UsageError if a scratch disk is wanted that the server does not have."""
        client, server = site.role(self.client), site.role(self.server)
        self._folder.make(site, self.client, SIZE)
        self._serve(site)
        self._mount.attach(site, client, f"{site.address(server, seen_from=client)}:{FOLDER}")
        return self._mount.probe(site, client)

    def baseline(self, site: Site) -> float:
        """See `Storage.baseline`."""
        return written_through(site, site.role(self.client), self.path)

    def tear_down(self, site: Site) -> None:
        """See `Storage.tear_down`; what still waits for the server is told that it failed."""
        client = site.role(self.client)
        try:
            client.shell.run(UNMOUNT, deadline=site.deadline(20), check=False)
            with suppress(HarnessError):  # a probe that still waits keeps the file system, and nothing else
                client.agent.ask("storage", path=None, deadline=site.deadline(5))
        finally:
            site.role(self.server).shell.run(self._stop, deadline=site.deadline(20), check=False)
            self._folder.tear_down(site)
