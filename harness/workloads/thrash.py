"""Swap thrash: anonymous mappings larger than the memory, filled and then read linearly in a loop."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.guest.progress import size_of
from harness.model.errors import UsageError
from harness.site.target import Site, Target
from harness.site.zipapp import pack
from harness.workloads.base import ProgressFile

SCRIPT = Path(__file__).parent / "guest" / "thrash.py"
FOLDER = "/run/harness/workload"
PROGRESS = "/dev/shm/harness-progress"
PAGE = 4096
MEMORY = ("anonymous", "shmem")


@dataclass(frozen=True, slots=True, kw_only=True)
class SwapThrash:
    """The load of the series "Swap-over-NBD without deadlocking" (2012).

    `processes_per_cpu` × processors processes map `ram_ratio` × memory in all, fill it, and read it `passes` times; 0:
    until `limit_s` is over. One operation is a page written, or a page read and compared. `memory` is "anonymous", as
    in the series, or "shmem": as many pages of tmpfs files, which are swapped out by other code (shmem_writepage).

    With `refills` a pass gives the pages back and fills new ones instead of reading, so pages are swapped out during
    the whole load. Without it few are once all memory is filled, since the pages that are read are on swap already.
    """

    host: str = "client"
    processes_per_cpu: int = 8
    ram_ratio: float = 4.0
    passes: int = 1
    memory: str = "anonymous"
    refills: bool = False
    limit_s: float = 900.0

    def __post_init__(self) -> None:
        """Raises UsageError for an unknown kind of memory."""
        if self.memory not in MEMORY:
            raise UsageError(f"SwapThrash: no memory {self.memory!r}; there are: {', '.join(MEMORY)}")

    def describe(self) -> str:
        """See `Workload.describe`."""
        kind = "" if self.memory == "anonymous" else f" of {self.memory}"
        size = f"{self.ram_ratio:g} × memory{kind}"
        passes = f"{self.passes} pass(es)" if self.passes else "again and again"
        passes += ", filled anew" if self.refills else ""
        return f"{self.processes_per_cpu} processes a processor, {size}, {passes}"

    @property
    def time_limited(self) -> bool:
        """See `TimeLimited.time_limited`."""
        return self.passes == 0

    @property
    def critical_tasks(self) -> tuple[str, ...]:
        """See `Workload.critical_tasks`."""
        return ("thrash",)

    def prepare(self, site: Site) -> ProgressFile:
        """See `Workload.prepare`."""
        target = site.role(self.host)
        workers = self.processes_per_cpu * target.facts.cpus
        target.shell.run(
            "mkdir -p %s && rm -f %s && truncate -s %s %s",
            FOLDER,
            PROGRESS,
            size_of(workers),
            PROGRESS,
            deadline=site.deadline(10),
        )
        target.shell.put(pack(SCRIPT), f"{FOLDER}/thrash.pyz", deadline=site.deadline(10))
        return ProgressFile(host=target.name, path=PROGRESS, workers=workers, log=f"{FOLDER}/log")

    def baseline(self, site: Site) -> float | None:
        """See `Workload.baseline`: the storage's, since the operation of both is a page."""
        return None

    def launch(self, site: Site) -> None:
        """See `Workload.launch`."""
        target = site.role(self.host)
        workers = self.processes_per_cpu * target.facts.cpus
        each = self._bytes_each(target, workers)
        target.shell.run(
            "setsid python3 -I -S %s %s %s %s %s %s %s >%s 2>&1 </dev/null &",
            f"{FOLDER}/thrash.pyz",
            PROGRESS,
            workers,
            each,
            self.passes,
            self.memory,
            "fills" if self.refills else "reads",
            f"{FOLDER}/log",
            deadline=site.deadline(10),
        )

    def _bytes_each(self, target: Target, workers: int) -> int:
        return int(target.facts.memory * self.ram_ratio) // workers // PAGE * PAGE
