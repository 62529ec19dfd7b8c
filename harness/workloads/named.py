"""Load generators by name: fio and stress-ng, with arbitrary arguments."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.guest.progress import size_of
from harness.model.errors import InfraError, UsageError
from harness.model.measure import Measure
from harness.site.target import Site
from harness.site.zipapp import pack
from harness.workloads.base import ProgressFile

SCRIPT = Path(__file__).parent / "guest" / "named.py"
FOLDER = "/run/harness/workload"
LOG = f"{FOLDER}/log"
PROGRESS = "/dev/shm/harness-progress"
BASELINE_PROGRESS = "/dev/shm/harness-baseline"
BASELINE_S = 5.0
START_S = 30.0  # before a tool does its first work
Options = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Named(ABC):
    """`workers` processes of the tool run for `seconds`, each counted separately."""

    host: str = "client"
    workers: int = 2
    seconds: float = 60.0
    options: Options = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises UsageError for fewer than one worker, or no time."""
        if self.workers < 1 or self.seconds < 1:
            raise UsageError(f"{self._tool}: {self.workers} workers for {self.seconds} s; give 1 or more of each")

    @property
    @abstractmethod
    def _tool(self) -> str:
        """The name of the program."""

    @abstractmethod
    def _arguments(self, seconds: float) -> Sequence[str]:
        """The tool's arguments for a run of `seconds`."""

    def describe(self) -> str:
        """See `Workload.describe`."""
        return f"{self.workers} × {' '.join([self._tool, *self._arguments(self.seconds)])}"

    @property
    def critical_tasks(self) -> tuple[str, ...]:
        """See `Workload.critical_tasks`."""
        return ("named", self._tool)

    @property
    def limit_s(self) -> float:
        """See `Workload.limit_s`: the tool ends by itself; on a slow host its last operation may take longer."""
        return 2 * self.seconds + START_S

    def prepare(self, site: Site) -> ProgressFile:
        """See `Workload.prepare`."""
        self._put_in_place(site, PROGRESS)
        return ProgressFile(host=site.role(self.host).name, path=PROGRESS, workers=self.workers, log=LOG)

    def baseline(self, site: Site) -> float | None:
        """See `Workload.baseline`: the load itself, for five seconds; raises InfraError if it moves no page."""
        self._put_in_place(site, BASELINE_PROGRESS)
        command, *arguments = self._command(BASELINE_PROGRESS, BASELINE_S)
        target = site.role(self.host)
        text = target.shell.run(str(command), *arguments, deadline=site.deadline(BASELINE_S + START_S)).stdout
        found = re.search(r"^(\d+) operations in ([0-9.]+) s$", text, re.MULTILINE)
        if found is None or not int(found[1]):
            problem = text.strip()[-300:]
            raise InfraError(f"{target.name}: {self.describe()}: no page moved in {BASELINE_S:g} s: {problem}")
        return int(found[1]) / float(found[2])

    def launch(self, site: Site) -> None:
        """See `Workload.launch`."""
        command, *arguments = self._command(PROGRESS, self.seconds)
        launch = f"setsid {command} >%s 2>&1 </dev/null &"
        site.role(self.host).shell.run(launch, *arguments, LOG, deadline=site.deadline(10))

    def _put_in_place(self, site: Site, progress: str) -> None:
        target = site.role(self.host)
        size = size_of(self.workers)
        make = "mkdir -p %s && rm -f %s && truncate -s %s %s && command -v %s"
        target.shell.run(make, FOLDER, progress, size, progress, self._tool, deadline=site.deadline(10))
        target.shell.put(pack(SCRIPT), f"{FOLDER}/named.pyz", deadline=site.deadline(10))

    def _command(self, progress: str, seconds: float) -> tuple[object, ...]:
        arguments = (f"{FOLDER}/named.pyz", progress, self.workers, self._tool, *self._arguments(seconds))
        return ("python3 -I -S" + " %s" * len(arguments), *arguments)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fio(_Named):
    """`fio` with the job `rw` ("randwrite", "read" …) on one file of `size` a worker: `path` and the worker's number.

    `options` are further options of fio ({"bs": "4k", "direct": 1, "ioengine": "mmap"}). One operation is a page that
    fio moved, from its report once a second. The files are laid out for the baseline, before the load.
    """

    path: str
    rw: str = "randwrite"
    size: str = "64M"

    @property
    def _tool(self) -> str:
        return "fio"

    def _arguments(self, seconds: float) -> Sequence[str]:
        job = {"name": "harness", "filename": f"{self.path}-{{}}", "rw": self.rw, "size": self.size}
        report = {"output-format": "json", "status-interval": 1, "eta": "never"}
        options = {**job, "time_based": 1, "runtime": f"{seconds:g}", **report, **self.options}
        return [f"--{key}={value}" for key, value in options.items()]


@dataclass(frozen=True, slots=True, kw_only=True)
class StressNg(_Named):
    """`stress-ng` with the stressor `stressor` ("vm", "mmap", "hdd" …), one instance for each worker.

    `options` are further options of stress-ng ({"vm-bytes": "64M"}); True stands for an option without a value. Sizes
    are those of one instance. One operation is a page faulted in, or read or written by a system call, as the kernel
    counts them. stress-ng reports its own "bogus operations" only at its end; they become a measure of the trial. A
    stressor that only computes has no operations, so its baseline measurement fails.
    """

    stressor: str

    @property
    def _tool(self) -> str:
        return "stress-ng"

    def _arguments(self, seconds: float) -> Sequence[str]:
        words = [f"--{self.stressor}", "1", "--timeout", f"{seconds:g}", "--metrics", "--yaml", f"{FOLDER}/yaml-{{}}"]
        # The folder for its own files; the default is the working directory, which is arbitrary here.
        words += ["--temp-path", FOLDER] if "temp-path" not in self.options else []
        for key, value in self.options.items():
            words += [f"--{key}"] if value is True else [f"--{key}", str(value)]
        return words

    def measures(self, site: Site, evidence: Path) -> Sequence[Measure]:
        """See `Measuring.measures`: stress-ng's own count, if it ran to its end."""
        text = site.role(self.host).agent.ask("read", path=LOG, deadline=site.deadline(5))
        found = re.search(r"^(\d+) bogus operations$", text, re.MULTILINE)
        return [Measure(name="bogus operations", value=int(found[1]))] if found else []
