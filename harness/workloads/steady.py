"""A steady load that a healthy host can run for ever, so that only a fault stops it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from harness.guest.progress import size_of
from harness.model.errors import InfraError, UsageError
from harness.site.target import Site, Target
from harness.site.zipapp import pack
from harness.workloads.base import ProgressFile
from harness.workloads.guest.steady import REGION

SCRIPT = Path(__file__).parent / "guest" / "steady.py"
FOLDER = "/run/harness/workload"
PROGRESS = "/dev/shm/harness-progress"
BASELINE_PROGRESS = "/dev/shm/harness-baseline"
BASELINE_S = 3.0
PAGE = 4096
WRITES = ("write", "fsync")
MODES = (*WRITES, "fork", "spin")


@dataclass(frozen=True, slots=True, kw_only=True)
class Steady:
    """`workers` processes on `host` repeat one operation until they are killed, or for `limit_s`.

    `mode` "write" writes blocks of `block` bytes to `path`, a file or a block device, synchronously and past the page
    cache, like `dd oflag=direct,dsync`. "fsync" writes them through the page cache, with an fsync after each block.
    "fork" starts a program and waits for it. "spin" computes, with at least one worker for each processor. One
    operation is a page written, a program run or a fixed amount of computing. A worker whose operation fails ends as
    failed.
    """

    host: str = "client"
    mode: str = "write"
    workers: int = 2
    path: str = ""
    block: int = 65536
    limit_s: float = 45.0

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise UsageError(f"steady load: no mode {self.mode!r}; the modes are: {', '.join(MODES)}")
        if (self.mode in WRITES) != bool(self.path):
            raise UsageError(f"steady load: `path` is for the modes {' and '.join(WRITES)}, and they need it")
        if self.block <= 0 or self.block % PAGE or REGION % self.block:
            raise UsageError(f"steady load: a block of {self.block} bytes; 4096 × a power of two, up to {REGION}, fits")

    def describe(self) -> str:
        """See `Workload.describe`."""
        where = f" to {self.path}" if self.path else ""
        return f"{self.workers} processes that {self.mode}{where} at a steady pace"

    @property
    def time_limited(self) -> bool:
        """See `TimeLimited.time_limited`."""
        return True

    @property
    def critical_tasks(self) -> tuple[str, ...]:
        """See `Workload.critical_tasks`."""
        return ("steady", "true") if self.mode == "fork" else ("steady",)

    def prepare(self, site: Site) -> ProgressFile:
        """See `Workload.prepare`."""
        target = site.role(self.host)
        self._put_in_place(site, PROGRESS)
        return ProgressFile(host=target.name, path=PROGRESS, workers=self._count(target), log=f"{FOLDER}/log")

    def baseline(self, site: Site) -> float | None:
        """See `Workload.baseline`: the load itself, for three seconds; raises InfraError if it does nothing."""
        self._put_in_place(site, BASELINE_PROGRESS)
        command, *arguments = self._command(site, BASELINE_PROGRESS, BASELINE_S)
        target = site.role(self.host)
        text = target.shell.run(str(command), *arguments, deadline=site.deadline(BASELINE_S + 10)).stdout
        found = re.search(r"^(\d+) operations in ([0-9.]+) s$", text, re.MULTILINE)
        if found is None or not int(found[1]):
            raise InfraError(
                f"{target.name}: {self.describe()}: nothing done in {BASELINE_S:g} s: {text.strip()[-200:]}"
            )
        return int(found[1]) / float(found[2])

    def launch(self, site: Site) -> None:
        """See `Workload.launch`."""
        command, *arguments = self._command(site, PROGRESS, 0)
        site.role(self.host).shell.run(
            f"setsid {command} >%s 2>&1 </dev/null &", *arguments, f"{FOLDER}/log", deadline=site.deadline(10)
        )

    def _put_in_place(self, site: Site, progress: str) -> None:
        target = site.role(self.host)
        size = size_of(self._count(target))
        make = "mkdir -p %s && rm -f %s && truncate -s %s %s"
        target.shell.run(make, FOLDER, progress, size, progress, deadline=site.deadline(10))
        target.shell.put(pack(SCRIPT), f"{FOLDER}/steady.pyz", deadline=site.deadline(10))

    def _command(self, site: Site, progress: str, seconds: float) -> tuple[object, ...]:
        workers = self._count(site.role(self.host))
        script = f"{FOLDER}/steady.pyz"
        arguments = (script, progress, workers, self.mode, self.path, self.block, seconds)
        return ("python3 -I -S" + " %s" * len(arguments), *arguments)

    def _count(self, target: Target) -> int:
        return max(self.workers, target.facts.cpus) if self.mode == "spin" else self.workers
