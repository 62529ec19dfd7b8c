"""A time-critical writer: a small synchronous write at a fixed interval, alone or beside another load."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.guest.progress import size_of
from harness.model.errors import InfraError, UsageError
from harness.site.target import Site
from harness.site.zipapp import pack
from harness.workloads.base import ProgressFile

SCRIPT = Path(__file__).parent / "guest" / "paced.py"
FOLDER = "/run/harness/workload"
PROGRESS = "/dev/shm/harness-progress"
BASELINE_PROGRESS = "/dev/shm/harness-baseline"
BASELINE_S = 3.0


class Companion(Protocol):
    """A load that another one can start beside itself: prepared like any load, then started with one command."""

    def describe(self) -> str:
        """The load in a few words."""

    def prepare(self, site: Site) -> ProgressFile:
        """Put everything in place on its host; nothing runs yet."""

    @property
    def command(self) -> tuple[str, ...]:
        """The program and its arguments; its exit code is 0 when its work is done."""

    @property
    def limit_s(self) -> float:
        """Seconds after which the load is given up."""

    @property
    def critical_tasks(self) -> tuple[str, ...]:
        """Names of the load's tasks, as the OOM killer prints them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paced:
    """Appends 4 KiB to the file `path` of `host` every `every_s` seconds, and waits until it is on the disk.

    Before each write it runs the program `job`, if given ("date"), like a script that keeps a log. It runs for
    `seconds`; with `beside`, from just before that load begins until that load ends. Progress counts the writer's own
    writes only, so it shows the effect of the load beside it on other processes. One operation is a write.
    """

    path: str
    host: str = "client"
    every_s: float = 0.1
    seconds: float = 60.0
    job: str = ""
    beside: Companion | None = None

    def __post_init__(self) -> None:
        """Raises UsageError for an interval or a time of 0 s or less."""
        if self.every_s <= 0 or self.seconds <= 0:
            raise UsageError(f"paced load: every {self.every_s} s for {self.seconds} s; both must be more than 0")

    def describe(self) -> str:
        """See `Workload.describe`."""
        first = f"`{self.job}` and " if self.job else ""
        alone = f"{first}a synchronous write to {self.path} every {self.every_s:g} s"
        return alone if self.beside is None else f"{alone}, beside: {self.beside.describe()}"

    @property
    def critical_tasks(self) -> tuple[str, ...]:
        """See `Workload.critical_tasks`."""
        return ("paced", *(self.beside.critical_tasks if self.beside else ()))

    @property
    def limit_s(self) -> float:
        """See `Workload.limit_s`: twice its time, since the last write may be slow."""
        return self.beside.limit_s if self.beside else 2 * self.seconds

    def prepare(self, site: Site) -> ProgressFile:
        """See `Workload.prepare`."""
        target = site.role(self.host)
        if self.beside is not None:
            self.beside.prepare(site)
        self._put_in_place(site, PROGRESS)
        return ProgressFile(host=target.name, path=PROGRESS, workers=1, log=f"{FOLDER}/log")

    def baseline(self, site: Site) -> float | None:
        """See `Workload.baseline`: the writer alone, for three seconds; raises InfraError without any write."""
        self._put_in_place(site, BASELINE_PROGRESS)
        command, *arguments = self._command(BASELINE_PROGRESS, BASELINE_S)
        target = site.role(self.host)
        text = target.shell.run(str(command), *arguments, deadline=site.deadline(BASELINE_S + 10)).stdout
        found = re.search(r"^(\d+) operations in ([0-9.]+) s$", text, re.MULTILINE)
        if found is None or not int(found[1]):
            raise InfraError(f"{target.name}: {self.path}: no write in {BASELINE_S:g} s: {text.strip()[-200:]}")
        return int(found[1]) / float(found[2])

    def launch(self, site: Site) -> None:
        """See `Workload.launch`."""
        command, *arguments = self._command(PROGRESS, self.seconds, *(self.beside.command if self.beside else ()))
        site.role(self.host).shell.run(
            f"setsid {command} >%s 2>&1 </dev/null &", *arguments, f"{FOLDER}/log", deadline=site.deadline(10)
        )

    def _put_in_place(self, site: Site, progress: str) -> None:
        target = site.role(self.host)
        make = "mkdir -p %s && rm -f %s && truncate -s %s %s"
        target.shell.run(make, FOLDER, progress, size_of(1), progress, deadline=site.deadline(10))
        target.shell.put(pack(SCRIPT), f"{FOLDER}/paced.pyz", deadline=site.deadline(10))

    def _command(self, progress: str, seconds: float, *beside: str) -> tuple[object, ...]:
        arguments = (f"{FOLDER}/paced.pyz", progress, self.path, self.job, self.every_s, seconds, *beside)
        return ("python3 -I -S" + " %s" * len(arguments), *arguments)
