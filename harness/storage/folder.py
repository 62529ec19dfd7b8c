"""The folder that a server exports: in memory, on the root disk, or on the scratch disk of its host."""

from __future__ import annotations

from dataclasses import dataclass

from harness.drivers.protocols import DiskThrottle
from harness.model.errors import UsageError
from harness.model.topology import MIB
from harness.site.capabilities import Capabilities
from harness.site.facts import SCRATCH
from harness.site.target import Site
from harness.storage.base import MKFS, unmount

IMAGE = "image"
SPARE = 128 * MIB  # memory that a server needs beside the data that it keeps in memory
SET_UP_S, TEAR_DOWN_S = 30, 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """The folder `path` on the role `server`, where a server keeps the data that it serves.

    If the server is another host than the client and has enough memory, the folder is a tmpfs, so the server's disk
    does not limit what is measured. Otherwise it lies on the root file system. `scratch` puts it on an ext4 file system
    on the scratch disk: True always, False never, None only in place of the root file system, and only if the host has
    a scratch disk. `bytes_per_s` throttles that disk.
    """

    path: str
    server: str
    scratch: bool | None = None
    bytes_per_s: int | None = None

    def __post_init__(self) -> None:
        """Raises UsageError for a rate below 1, or without `scratch=True`."""
        if self.bytes_per_s is not None and (not self.scratch or self.bytes_per_s < 1):
            raise UsageError(
                f"bytes_per_s = {self.bytes_per_s}: it is 1 or more, and of the scratch disk; give scratch=True"
            )

    def describe(self) -> str:
        """The place in a few words; empty if it depends on the sizes of the hosts."""
        if not self.scratch:
            return ""
        return " from its scratch disk" + (f" at {self.bytes_per_s} bytes/s" if self.bytes_per_s else "")

    def requires(self) -> Capabilities:
        """See `Requiring.requires`."""
        return {} if self.bytes_per_s is None else {self.server: (DiskThrottle,)}

    @property
    def image(self) -> str:
        """The file that is served as a disk."""
        return f"{self.path}/{IMAGE}"

    def make(self, site: Site, client: str, size: int) -> None:
        """Make the folder with room for `size` bytes of the role `client`.

        Raises UsageError if `scratch` asks for a scratch disk that the server does not have.
        """
        server = site.role(self.server)
        if self.scratch:
            server.disk(SCRATCH)
        server.shell.run(f"mkdir -p {self.path}{self._mount(site, client, size)}", deadline=site.deadline(SET_UP_S))
        if self.bytes_per_s is not None:
            server.need(DiskThrottle).throttle(SCRATCH, self.bytes_per_s)

    def make_image(self, site: Site, client: str, size: int) -> None:
        """Make the folder, and in it a sparse file of `size` bytes."""
        self.make(site, client, size + MIB)
        site.role(self.server).shell.run(f"truncate -s {size} {self.image}", deadline=site.deadline(10))

    def _mount(self, site: Site, client: str, size: int) -> str:
        server = site.role(self.server)
        apart = server.name != site.role(client).name
        if not self.scratch and apart and server.facts.memory > size + SPARE:
            return f" && mount -t tmpfs -o size={size} none {self.path}"
        disk = server.facts.disks.get(SCRATCH)
        if disk is None or self.scratch is False:
            return ""
        return f" && {MKFS} {disk.path} && mount {disk.path} {self.path}"

    def tear_down(self, site: Site) -> None:
        """Remove the folder and its content as far as the host still answers."""
        server = site.role(self.server)
        if self.bytes_per_s is not None:
            server.need(DiskThrottle).throttle(SCRATCH, None)
        # Data on the scratch disk may stay there.
        remove = f"{unmount(self.path)} 2>/dev/null; ! mountpoint -q {self.path} || umount -l {self.path}"
        server.shell.run(f"{remove}; rm -rf {self.path}", deadline=site.deadline(TEAR_DOWN_S), check=False)
