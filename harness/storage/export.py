"""The folder that a file server gives away: in memory, on the root disk, or on the scratch disk of its host."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.model.errors import UsageError
from harness.model.topology import MIB
from harness.storage.footprint import FORMAT, SPARE
from harness.targets.mapper import SCRATCH
from harness.targets.target import Site

FOLDER = "/srv/harness-nfs"
DISK = Path(SCRATCH).name
SIZE = 64 * MIB  # of a folder in memory
SET_UP_S = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """A folder on the role `server`.

    With `scratch` it is an ext4 file system on the scratch disk, which the hypervisor lets move `bytes_per_s` if that
    is given. Without, it lies in memory (tmpfs) where the server is another host than `client` and has room for it, so
    that its disk is not what is measured, and on the root file system where it is not.
    """

    client: str
    server: str
    scratch: bool = False
    bytes_per_s: int | None = None

    def __post_init__(self) -> None:
        """Raises UsageError for a rate of a disk that is not used, or that is none."""
        if self.bytes_per_s is not None and (not self.scratch or self.bytes_per_s < 1):
            raise UsageError(
                f"bytes_per_s = {self.bytes_per_s}: it is 1 or more, and of the scratch disk; give scratch=True"
            )

    def describe(self) -> str:
        """Where the files lie, in a few words; empty where that is left to the hosts' sizes."""
        if not self.scratch:
            return ""
        return " from its scratch disk" + (f" at {self.bytes_per_s} bytes/s" if self.bytes_per_s else "")

    def set_up(self, site: Site) -> None:
        """Make the folder; raises UsageError if the host has no scratch disk."""
        server = site.role(self.server)
        if self.scratch and not server.host.scratch:
            raise UsageError(f"host {server.name!r} has no scratch disk; give it `scratch` in the inventory")
        server.shell.run(f"mkdir -p {FOLDER}{self._fill(site)}", deadline=site.deadline(SET_UP_S))
        if self.bytes_per_s is not None:
            server.hypervisor.throttle(DISK, self.bytes_per_s)

    def _fill(self, site: Site) -> str:
        server = site.role(self.server)
        if self.scratch:
            return f" && {FORMAT} && mount {SCRATCH} {FOLDER}"
        apart = server.name != site.role(self.client).name
        in_memory = apart and server.memory > SIZE + SPARE
        return f" && mount -t tmpfs -o size={SIZE} none {FOLDER}" if in_memory else ""

    def tear_down(self, site: Site) -> None:
        """Take the folder away, and all that is in it, as far as the host still answers."""
        server = site.role(self.server)
        if self.bytes_per_s is not None:
            server.hypervisor.throttle(DISK, None)
        # What served from it may take a moment to let go, and what lies on the scratch disk may stay there.
        loose = f"for i in $(seq 50); do mountpoint -q {FOLDER} || break; umount {FOLDER} || sleep 0.2; done"
        remove = f"mountpoint -q {FOLDER} && umount -l {FOLDER}; rm -rf {FOLDER}"
        server.shell.run(f"{loose} 2>/dev/null; {remove}", deadline=site.deadline(20), check=False)
