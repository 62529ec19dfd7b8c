"""Buffered writers to an NFS mount, judged by what reaches the server."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.guest.progress import size_of
from harness.model.errors import InfraError, UsageError
from harness.model.measure import Measure
from harness.model.topology import MIB
from harness.site.target import Site
from harness.site.zipapp import pack
from harness.workloads.base import ProgressFile
from harness.workloads.guest.nfs_writers import LINE

SCRIPT = Path(__file__).parent / "guest" / "nfs_writers.py"
RUN = "/run/harness/workload"
PROGRESS = "/dev/shm/harness-progress"
RATES = "/dev/shm/harness-rates"
BASELINE_BYTES = 16 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class NfsWriters:
    """`workers` processes on `host` each write `mib` MiB to their own file below `mount`, then flush it.

    The load also holds `anonymous` × the host's memory. One operation is a page that the server has received; a page
    that is only in the page cache does not count.
    """

    host: str = "client"
    mount: str
    workers: int = 2
    mib: int = 100
    anonymous: float = 0.0
    limit_s: float = 600.0

    def __post_init__(self) -> None:
        """Raises UsageError for a load without work, or with more anonymous memory than a host has."""
        if self.workers < 1 or self.mib < 1 or not 0 <= self.anonymous < 1:
            raise UsageError("NFS writers: `workers` and `mib` are 1 or more, `anonymous` is a share of memory below 1")

    def describe(self) -> str:
        """See `Workload.describe`."""
        beside = f", {self.anonymous:.0%} of memory held beside" if self.anonymous else ""
        return f"{self.workers} writers of {self.mib} MiB each below {self.mount}{beside}"

    @property
    def critical_tasks(self) -> tuple[str, ...]:
        """See `Workload.critical_tasks`."""
        return ("nfs-writers",)

    def baseline(self, site: Site) -> float | None:
        """See `Workload.baseline`: the same writers with little data, flushed, so the page cache hides nothing."""
        self._put_in_place(site)
        command, *arguments = self._command(max(1, BASELINE_BYTES // self.workers // MIB) * MIB)
        target = site.role(self.host)
        text = target.shell.run(command, *arguments, deadline=site.deadline(30)).stdout
        target.shell.run(f"rm -f {self.mount}/writer*", deadline=site.deadline(10))
        found = re.search(r"^(\d+) pages in ([0-9.]+) s$", text, re.MULTILINE)
        if found is None or not int(found[1]):
            raise InfraError(f"{target.name}: {self.describe()}: no figures: {text.strip()[-200:]}")
        return int(found[1]) / float(found[2])

    def prepare(self, site: Site) -> ProgressFile:
        """See `Workload.prepare`."""
        self._put_in_place(site)
        target = site.role(self.host)
        target.agent.ask("open", paths=[RATES], deadline=site.deadline(10))
        return ProgressFile(host=target.name, path=PROGRESS, workers=1, log=f"{RUN}/log")

    def launch(self, site: Site) -> None:
        """See `Workload.launch`."""
        target = site.role(self.host)
        command, *arguments = self._command(self.mib * MIB, int(target.facts.memory * self.anonymous))
        target.shell.run(
            f"setsid {command} >%s 2>&1 </dev/null &", *arguments, f"{RUN}/log", deadline=site.deadline(10)
        )

    def measures(self, site: Site, evidence: Path) -> Sequence[Measure]:
        """See `Measuring.measures`; read through the agent, since a login may no longer work."""
        text = site.role(self.host).agent.ask("read", path=RATES, deadline=site.deadline(10)).strip(" \n\0")
        if not text:
            raise InfraError(f"{self.host}: the writers never began")
        seconds, moved, slowest = (float(word) for word in text.split())
        found = [
            Measure(name="written to the server", value=round(moved / MIB, 1), unit="MiB"),
            Measure(name="mean rate of the writers", value=round(moved / 1000 / max(seconds, 1.0)), unit="kB/s"),
        ]
        if slowest >= 0:
            found.append(Measure(name="slowest rate over 10 s", value=round(slowest / 1000), unit="kB/s"))
        return found

    def _put_in_place(self, site: Site) -> None:
        target = site.role(self.host)
        make = "mkdir -p %s && rm -f %s %s && truncate -s %s %s && truncate -s %s %s"
        arguments = (RUN, PROGRESS, RATES, size_of(1), PROGRESS, LINE, RATES)
        target.shell.run(make, *arguments, deadline=site.deadline(10))
        target.shell.put(pack(SCRIPT), f"{RUN}/nfs_writers.pyz", deadline=site.deadline(10))

    def _command(self, size: int, anonymous: int = 0) -> tuple[str, ...]:
        arguments = (f"{RUN}/nfs_writers.pyz", PROGRESS, RATES, self.workers, self.mount, size, anonymous)
        return ("python3 -I -S" + " %s" * len(arguments), *(str(argument) for argument in arguments))
