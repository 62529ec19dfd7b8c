"""Readers of an NFSv4 mount whose client holds delegations of their files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.guest.progress import size_of
from harness.model.errors import InfraError
from harness.model.measure import Measure
from harness.site.target import Site
from harness.site.zipapp import pack
from harness.workloads.base import ProgressFile

SCRIPT = Path(__file__).parent / "guest" / "delegations.py"
RUN = "/run/harness/workload"
PROGRESS = "/dev/shm/harness-progress"
SUBFOLDER = "delegations"
WARM_ROUNDS, BASELINE_ROUNDS = 2, 2  # the server grants a delegation on a repeated open of a file
ROUND_S = 0.2  # a file; more than one takes
HELD = "cat /proc/fs/nfsd/clients/*/states | grep -c 'type: deleg'"
RETURNED = re.compile(r"^\s*DELEGRETURN: (\d+) ", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class DelegatedReaders:
    """`workers` processes on `host` open, read and close the same `files` small files again and again.

    The files lie in the `folder` that the role `server` exports and that `host` has mounted at `mount` (NFSv4). Before
    the load each file is read often enough for the client to get a delegation of it. Without delegations the load would
    prove nothing and does not begin. One operation is a file read.
    """

    host: str = "client"
    server: str = "server"
    mount: str
    folder: str
    files: int = 100
    workers: int = 2
    limit_s: float = 60.0
    _held: list[int] = field(default_factory=list, init=False, repr=False, compare=False)

    def describe(self) -> str:
        """See `Workload.describe`."""
        return f"{self.workers} readers of {self.files} delegated files"

    @property
    def critical_tasks(self) -> tuple[str, ...]:
        """See `Workload.critical_tasks`."""
        return ("delegations",)

    @property
    def time_limited(self) -> bool:
        """See `TimeLimited.time_limited`."""
        return True

    def baseline(self, site: Site) -> float | None:
        """See `Workload.baseline`: the load itself, after the client got its delegations; raises InfraError if not."""
        self._put_in_place(site)
        self._go_round(site, WARM_ROUNDS)
        self._held.append(self._count_held(site))
        text = self._go_round(site, BASELINE_ROUNDS)
        found = re.search(r"^(\d+) operations in ([0-9.]+) s$", text, re.MULTILINE)
        if found is None or not float(found[2]):
            raise InfraError(f"{self.host}: {self.describe()}: no figures: {text.strip()[-200:]}")
        return int(found[1]) / float(found[2])

    def prepare(self, site: Site) -> ProgressFile:
        """See `Workload.prepare`."""
        self._clear(site)
        target = site.role(self.host)
        return ProgressFile(host=target.name, path=PROGRESS, workers=self.workers, log=f"{RUN}/log")

    def launch(self, site: Site) -> None:
        """See `Workload.launch`."""
        command, *arguments = self._command(0)
        site.role(self.host).shell.run(
            f"setsid {command} >%s 2>&1 </dev/null &", *arguments, f"{RUN}/log", deadline=site.deadline(10)
        )

    def measures(self, site: Site, evidence: Path) -> Sequence[Measure]:
        """See `Measuring.measures`: delegations held before the load, and returned until now."""
        stats = site.role(self.host).shell.run("cat /proc/self/mountstats", deadline=site.deadline(10)).stdout
        returned = sum(int(count) for count in RETURNED.findall(stats))
        return (
            Measure(name="delegations held before the load", value=self._held[-1]),
            Measure(name="delegations returned", value=returned),
        )

    def _put_in_place(self, site: Site) -> None:
        """Make the files on the server: a client gets no delegation of a file that it has just written."""
        make = "mkdir -p %s && cd %s && for i in $(seq %s); do echo $i >$i || exit; done"
        folder = f"{self.folder}/{SUBFOLDER}"
        site.role(self.server).shell.run(make, folder, folder, self.files, deadline=site.deadline(20))
        self._clear(site)
        site.role(self.host).shell.put(pack(SCRIPT), f"{RUN}/delegations.pyz", deadline=site.deadline(10))

    def _clear(self, site: Site) -> None:
        size = size_of(self.workers)
        make = "mkdir -p %s && rm -f %s && truncate -s %s %s"
        site.role(self.host).shell.run(make, RUN, PROGRESS, size, PROGRESS, deadline=site.deadline(10))

    def _go_round(self, site: Site, rounds: int) -> str:
        command, *arguments = self._command(rounds)
        deadline = site.deadline(10 + rounds * self.files * ROUND_S)
        return site.role(self.host).shell.run(command, *arguments, deadline=deadline).stdout

    def _count_held(self, site: Site) -> int:
        """The server's count of held delegations; raises InfraError if it is below half of the files."""
        text = site.role(self.server).shell.run(HELD, deadline=site.deadline(10), check=False).stdout
        held = int(text.strip() or 0)
        if held < self.files / 2:
            raise InfraError(
                f"{self.server}: {held} delegations held of {self.files} files; there is nothing to return"
            )
        return held

    def _command(self, rounds: int) -> tuple[str, ...]:
        arguments = (f"{RUN}/delegations.pyz", PROGRESS, self.workers, f"{self.mount}/{SUBFOLDER}", rounds)
        return ("python3 -I -S" + " %s" * len(arguments), *(str(argument) for argument in arguments))
