"""A plain disk: the root disk of a host, for cases that are not about storage."""

from __future__ import annotations

from dataclasses import dataclass

from harness.model.storage_protocols import StorageProtocol
from harness.model.topology import Topology
from harness.site.facts import ROOT
from harness.site.target import Site
from harness.storage.base import BASELINE_PAGES, PAGE, ServedBy, StorageProbe, pages_per_second

FILE = "/var/tmp/harness-storage"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainDisk:
    """A file on the root file system of the role `host`. The agent's probe writes to it past the page cache."""

    host: str = "client"

    def describe(self) -> str:
        """See `Storage.describe`."""
        return f"plain disk of {self.host}"

    @property
    def protocol(self) -> StorageProtocol | None:
        """See `Storage.protocol`."""
        return None

    def served_by(self, topology: Topology) -> ServedBy:
        """See `Storage.served_by`."""
        return {}

    @property
    def critical_tasks(self) -> tuple[str, ...]:
        """See `Storage.critical_tasks`."""
        return ()

    @property
    def bound_s(self) -> float:
        """See `Storage.bound_s`."""
        return 0.0

    def set_up(self, site: Site) -> StorageProbe:
        """See `Storage.set_up`."""
        target = site.role(self.host)
        target.shell.run("truncate -s %s %s", BASELINE_PAGES * PAGE, FILE, deadline=site.deadline(10))
        name = target.disk(ROOT).kernel_name
        return StorageProbe(
            host=target.name,
            spec={"path": FILE, "offset": 0, "write": True},
            counters={name: f"/sys/block/{name}/stat"},
            evidence=("/proc/meminfo", "/proc/vmstat", f"/sys/block/{name}/stat", f"/sys/block/{name}/inflight"),
        )

    def baseline(self, site: Site) -> float:
        """See `Storage.baseline`."""
        target = site.role(self.host)
        return pages_per_second(target, site, f"dd if=/dev/zero of={FILE} oflag=direct")

    def tear_down(self, site: Site) -> None:
        """See `Storage.tear_down`."""
        site.role(self.host).shell.run("rm -f %s", FILE, deadline=site.deadline(10))
