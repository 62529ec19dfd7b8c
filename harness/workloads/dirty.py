"""A load that dirties a file or block device: write(2), shared mappings, synchronous writes or direct I/O."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.guest.progress import size_of
from harness.model.errors import UsageError
from harness.site.target import Site, Target
from harness.site.zipapp import pack
from harness.workloads.base import ProgressFile

SCRIPT = Path(__file__).parent / "guest" / "dirty.py"
FOLDER = "/run/harness/workload"
PROGRESS = "/dev/shm/harness-progress"
PAGE = 4096
MODES = ("write", "mmap", "sync", "direct")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dirty:
    """`workers` processes write `ratio` × memory in all to `path`, round after round, for `seconds`.

    `mode` "write" goes through the page cache, with fsync after each round; "mmap" stores into MAP_SHARED pages, with
    msync after each round. "sync" writes blocks of `block` bytes with O_DSYNC, "direct" with O_DIRECT. Each block is
    read and compared before it is written again. After `seconds` the load flushes, drops its pages from the page cache
    and compares everything once more. One operation is a page written, flushed or compared.
    """

    path: str
    host: str = "client"
    mode: str = "write"
    workers: int = 4
    ratio: float = 0.5
    block: int = 65536
    seconds: float = 60.0
    limit_s: float = 900.0

    def __post_init__(self) -> None:
        """Raises UsageError for an unknown mode or an invalid size."""
        if self.mode not in MODES:
            raise UsageError(f"dirtier: no mode {self.mode!r}; the modes are: {', '.join(MODES)}")
        if self.block <= 0 or self.block % PAGE:
            raise UsageError(f"dirtier: a block of {self.block} bytes; a multiple of {PAGE} fits")
        if self.ratio <= 0 or self.seconds <= 0 or self.workers < 1:
            raise UsageError("dirtier: `ratio`, `seconds` and `workers` are more than 0")

    def describe(self) -> str:
        """See `Workload.describe`."""
        return f"{self.workers} processes that dirty {self.ratio:g} × memory in {self.path} ({self.mode})"

    @property
    def critical_tasks(self) -> tuple[str, ...]:
        """See `Workload.critical_tasks`."""
        return ("dirty",)

    def prepare(self, site: Site) -> ProgressFile:
        """See `Workload.prepare`."""
        target = site.role(self.host)
        make = "mkdir -p %s && rm -f %s && truncate -s %s %s"
        size = size_of(self.workers)
        target.shell.run(make, FOLDER, PROGRESS, size, PROGRESS, deadline=site.deadline(10))
        target.shell.put(pack(SCRIPT), f"{FOLDER}/dirty.pyz", deadline=site.deadline(10))
        return ProgressFile(host=target.name, path=PROGRESS, workers=self.workers, log=f"{FOLDER}/log")

    def baseline(self, site: Site) -> float | None:
        """See `Workload.baseline`: the storage's, since the operation of both is a page."""
        return None

    def launch(self, site: Site) -> None:
        """See `Workload.launch`."""
        target = site.role(self.host)
        each = self._bytes_each(target)
        figures = (self.workers, self.mode, self.path, each, self.block, self.seconds)
        arguments = (f"{FOLDER}/dirty.pyz", PROGRESS, *figures)
        target.shell.run(
            "setsid python3 -I -S" + " %s" * len(arguments) + " >%s 2>&1 </dev/null &",
            *arguments,
            f"{FOLDER}/log",
            deadline=site.deadline(10),
        )

    def _bytes_each(self, target: Target) -> int:
        return max(1, int(target.facts.memory * self.ratio) // self.workers // self.block) * self.block
