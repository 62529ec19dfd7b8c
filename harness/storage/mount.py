"""A file system of the network that a host mounts, with a file on it for the probe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.site.target import Site, Target
from harness.storage.base import PAGE, StorageProbe, pages_per_second

MOUNT_S = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """Where and how it is mounted; `kind` and `options` are mount(8)'s, the rest is for the probe (StorageProbe)."""

    folder: str
    kind: str
    options: str
    counters: Mapping[str, str]
    evidence: tuple[str, ...]

    @property
    def path(self) -> str:
        """A file or a folder on it, for a load."""
        return f"{self.folder}/load"

    def attach(self, site: Site, target: Target, source: str) -> None:
        """Mount `source` on a host; raises ShellError if the server does not let us."""
        command = f"mkdir -p {self.folder} && mount -t {self.kind} -o {self.options} {source} {self.folder}"
        target.shell.run(command, deadline=site.deadline(MOUNT_S))

    def probe(self, site: Site, target: Target) -> StorageProbe:
        """Make the file for the probe, on a host that has it mounted."""
        path = f"{self.folder}/probe"
        target.shell.run(f"truncate -s {PAGE} {path}", deadline=site.deadline(MOUNT_S))
        return StorageProbe(
            host=target.name,
            spec={"path": path, "offset": 0, "write": True},
            counters=self.counters,
            evidence=self.evidence,
        )


def written_through(site: Site, target: Target, path: str) -> float:
    """Pages a second of the file `path` that are written through to the server."""
    return pages_per_second(target, site, f"dd if=/dev/zero of={path} oflag=direct,dsync")
