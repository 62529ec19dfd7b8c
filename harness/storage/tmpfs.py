"""A large file in tmpfs that takes memory away, in front of another storage, on a host without swap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from harness.model.errors import InfraError, UsageError
from harness.model.measure import Measure
from harness.model.storage_protocols import StorageProtocol
from harness.model.topology import MIB, Topology
from harness.site.capabilities import Capabilities, required_by
from harness.site.needs import Needs, needs_of
from harness.site.target import Site, Target
from harness.storage.base import ServedBy, Storage, StorageProbe, take_down

MOUNT = "/srv/harness-memory"
BLOCK = "/run/harness/block"
READ_S = 5.0
MEMINFO = "/proc/meminfo"
FIGURES = {"memory in tmpfs": "Shmem", "memory available after the load": "MemAvailable"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tmpfs:
    """A file `source` in tmpfs that takes `share` of the memory of `host`, a host without swap.

    `disk` is the storage under test, to which a load copies the file. The storage rung samples `disk`, not tmpfs:
    before v6.6 tmpfs cannot be written past the page cache, and the rung `alloc` already shows whether memory is left.
    """

    disk: Storage
    host: str = "client"
    share: float = 0.7

    def __post_init__(self) -> None:
        """Raises UsageError for a share that is not between 0 and 1."""
        if not 0 < self.share < 1:
            raise UsageError(f"Tmpfs: a share of {self.share} of the memory; give more than 0 and less than 1")

    def describe(self) -> str:
        """See `Storage.describe`."""
        return f"{self.share:.0%} of the memory of {self.host} in tmpfs, without swap, before {self.disk.describe()}"

    @property
    def source(self) -> str:
        """The file in tmpfs."""
        return f"{MOUNT}/dump"

    @property
    def protocol(self) -> StorageProtocol | None:
        """See `Storage.protocol`."""
        return self.disk.protocol

    def served_by(self, topology: Topology) -> ServedBy:
        """See `Storage.served_by`."""
        return self.disk.served_by(topology)

    @property
    def critical_tasks(self) -> tuple[str, ...]:
        """See `Storage.critical_tasks`."""
        return self.disk.critical_tasks

    @property
    def bound_s(self) -> float:
        """See `Storage.bound_s`."""
        return self.disk.bound_s

    def requires(self) -> Capabilities:
        """See `Requiring.requires`."""
        return required_by(self.disk)

    def needs(self, topology: Topology) -> Needs:
        """See `Needing.needs`."""
        return needs_of(self.disk, topology)

    def set_up(self, site: Site) -> StorageProbe:
        """See `Storage.set_up`; raises InfraError on a host that has swap."""
        target = site.role(self.host)
        if target.shell.run("tail -n +2 /proc/swaps", deadline=site.deadline(10)).stdout.strip():
            raise InfraError(
                f"{target.name} has swap, and what lies in tmpfs would go there; switch it off (swapoff -a)"
            )
        probe = self.disk.set_up(site)
        blocks = int(target.facts.memory * self.share) // MIB
        # Random bytes, so that nothing on the way can compress them; one block repeated, since making random bytes
        # takes long under emulation.
        script = (
            f"mkdir -p {MOUNT} && mount -t tmpfs -o size={blocks + 1}m none {MOUNT} && "
            f"head -c {MIB} /dev/urandom >{BLOCK} && "
            f"for i in $(seq {blocks}); do cat {BLOCK} || exit 1; done >{self.source} && rm {BLOCK}"
        )
        target.shell.run(script, deadline=site.deadline(30))
        return probe

    def baseline(self, site: Site) -> float:
        """See `Storage.baseline`: the baseline of `disk`."""
        return self.disk.baseline(site)

    def measures(self, site: Site, evidence: Path) -> Sequence[Measure]:
        """See `Measuring.measures`: the memory taken by tmpfs, and the memory left."""
        text = site.role(self.host).agent.ask("read", path=MEMINFO, deadline=site.deadline(READ_S))
        reported = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
        return [
            Measure(name=name, value=int(reported[field].split()[0]) // 1024, unit="MiB")
            for name, field in FIGURES.items()
            if field in reported
        ]

    def tear_down(self, site: Site) -> None:
        """See `Storage.tear_down`; takes `disk` down even if the file cannot be removed."""
        target = site.role(self.host)
        take_down(target.name, partial(self._release, site, target), partial(self.disk.tear_down, site))

    def _release(self, site: Site, target: Target) -> None:
        target.shell.run("! mountpoint -q %s || umount %s && rmdir %s", *[MOUNT] * 3, deadline=site.deadline(20))
