"""Files on an NFS mount: the part that all servers share."""

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
SIZE = 64 * MIB  # of the folder if it lies in memory


@dataclass(frozen=True, slots=True, kw_only=True)
class NfsFiles(ABC):
    """Files on a hard mount of the role `client`, served by the role `server`. A load writes to `path`.

    `Folder` describes where the server keeps them, and `scratch` and `bytes_per_s`. `lease_s` and `grace_s` are the
    server's times; version 3 has neither.
    """

    client: str = "client"
    server: str = "server"
    version: str = "4.2"
    lease_s: int = 10
    grace_s: int = 10
    scratch: bool = False
    bytes_per_s: int | None = None

    def __post_init__(self) -> None:
        """Raises UsageError for parameters that the server or the client would refuse."""
        self._check()
        _ = self._mount, self._folder

    @abstractmethod
    def _check(self) -> None:
        """Raises UsageError for parameters that the server would refuse."""

    @abstractmethod
    def _serve(self, site: Site) -> None:
        """Start the server on its existing folder; raises InfraError or ShellError if it does not serve."""

    @property
    @abstractmethod
    def _stop(self) -> str:
        """A command that ends the server in any state that a fault left it in."""

    @property
    def path(self) -> str:
        """The file on the mount that a load writes to."""
        return self._mount.path

    @property
    def mount(self) -> str:
        """The mount point on the client."""
        return MOUNT

    @property
    def folder(self) -> str:
        """The folder that the server exports."""
        return FOLDER

    @property
    def scratch_roles(self) -> frozenset[str]:
        """See `OnScratch.scratch_roles`."""
        return frozenset({self.server} if self.scratch else ())

    @property
    def protocol(self) -> StorageProtocol | None:
        """See `Storage.protocol`."""
        return NFS

    def served_by(self, topology: Topology) -> ServedBy:
        """See `Storage.served_by`."""
        return serves(topology, [self.server], [self.client])

    @property
    def bound_s(self) -> float:
        """See `Storage.bound_s`: lease + grace + `timeo` × `retrans`; for version 3 only the last term.

        A server that restarts within its lease makes requests without a reclaim wait for the end of its grace period.
        `timeo` × `retrans` is the client's share. The client has to notice the outage (`timeo`) and to reconnect, which
        it tries at least every half lease (nfs4_set_lease_period). Its retry delays double, up to 6.4 s in a grace of
        10 s (nfs4_update_delay), so it may come back late from the last one.
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
        """See `Needing.needs`: the needs of the mount; the kernel's server needs more."""
        return {self.client: CLIENT_MODULES[is_v3(self.version)]}

    def set_up(self, site: Site) -> StorageProbe:
        """See `Storage.set_up`; raises UsageError for `scratch` if the server has no scratch disk."""
        client, server = site.role(self.client), site.role(self.server)
        self._folder.make(site, self.client, SIZE)
        self._serve(site)
        self._mount.attach(site, client, f"{site.address(server, seen_from=client)}:{FOLDER}")
        return self._mount.probe(site, client)

    def baseline(self, site: Site) -> float:
        """See `Storage.baseline`."""
        return written_through(site, site.role(self.client), self.path)

    def tear_down(self, site: Site) -> None:
        """See `Storage.tear_down`; requests that still wait for the server fail."""
        client = site.role(self.client)
        try:
            client.shell.run(UNMOUNT, deadline=site.deadline(20), check=False)
            with suppress(HarnessError):  # a probe that still waits pins the file system, nothing else
                client.agent.ask("storage", path=None, deadline=site.deadline(5))
        finally:
            site.role(self.server).shell.run(self._stop, deadline=site.deadline(20), check=False)
            self._folder.tear_down(site)
