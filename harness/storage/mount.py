"""A network file system mounted on a host, with a file for the probe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.site.target import Site, Target
from harness.storage.base import PAGE, StorageProbe, pages_per_second

MOUNT_S = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A mount at `folder`; `kind` and `options` are those of mount(8), the other fields those of StorageProbe."""

    folder: str
    kind: str
    options: str
    counters: Mapping[str, str]
    evidence: tuple[str, ...]

    @property
    def path(self) -> str:
        """The file or folder on the mount that a load writes to."""
        return f"{self.folder}/load"

    def attach(self, site: Site, target: Target, source: str) -> None:
        """Mount `source` on a host; raises ShellError if the mount fails."""
        command = f"mkdir -p {self.folder} && mount -t {self.kind} -o {self.options} {source} {self.folder}"
        target.shell.run(command, deadline=site.deadline(MOUNT_S))

    def probe(self, site: Site, target: Target) -> StorageProbe:
        """Make the probe's file on the mounted file system."""
        path = f"{self.folder}/probe"
        target.shell.run(f"truncate -s {PAGE} {path}", deadline=site.deadline(MOUNT_S))
        return StorageProbe(
            host=target.name,
            spec={"path": path, "offset": 0, "write": True},
            counters=self.counters,
            evidence=self.evidence,
        )


def written_through(site: Site, target: Target, path: str) -> float:
    """Pages a second that dd writes to the file `path`, each written through to the server."""
    return pages_per_second(target, site, f"dd if=/dev/zero of={path} oflag=direct,dsync")
