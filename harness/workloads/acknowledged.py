"""Synchronous writes that are recorded when acknowledged, and searched for losses after a fault of the storage."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.guest.progress import size_of
from harness.model.errors import InfraError, UsageError
from harness.model.measure import Measure
from harness.site.target import Site, Target
from harness.site.zipapp import pack
from harness.workloads.base import ProgressFile
from harness.workloads.guest.acknowledged_record import size_of as record_size

SCRIPT = Path(__file__).parent / "guest" / "acknowledged.py"
FOLDER = "/run/harness/workload"
GUEST = f"{FOLDER}/acknowledged.pyz"
PROGRESS = "/dev/shm/harness-progress"
RECORD = "/dev/shm/harness-acknowledged"
BASELINE = "/dev/shm/harness-baseline"
BASELINE_S = 3.0
SETTLED_S = 3.0  # a fault comes at most this long after its time, on the clock of a host that began a moment later

Disk = Callable[[Site], tuple[Target, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledged:
    """`writers` and `creators` on each of `hosts` write below `folder` for `seconds`; then each checks its writes.

    A writer keeps one file open, holds a lock on it and appends; a creator makes a file for each write. Both write
    synchronously (O_DSYNC), at most `per_second` times a second. They record each acknowledged write and repeat refused
    ones. At the end each reads everything back, past the page cache.

    `disk` returns a host and the folder there that holds the same files without the storage in between; all writes are
    checked there as well. The pause at `fault_s` (seconds of the load) is a measure of its own, beside the longest
    pause. If progress stops, the recovery probe runs on the first of `hosts`.
    """

    folder: str
    seconds: float
    hosts: tuple[str, ...] = ("client",)
    writers: int = 1
    creators: int = 1
    per_second: float = 10.0
    fault_s: float | None = None
    disk: Disk | None = None
    spare_s: float = 180.0

    def __post_init__(self) -> None:
        """Raises UsageError for a load without hosts, workers, pace or time."""
        if not self.hosts or self.writers + self.creators < 1 or self.per_second <= 0 or self.seconds <= 0:
            raise UsageError("acknowledged writes: they need a host, a writer or creator, a pace and a time above 0")

    def describe(self) -> str:
        """See `Workload.describe`."""
        return (
            f"{self.writers} writers and {self.creators} creators on each of {', '.join(self.hosts)}, "
            f"{self.per_second:g} acknowledged writes a second each"
        )

    @property
    def limit_s(self) -> float:
        """See `Workload.limit_s`: includes time for reading back."""
        return self.seconds + self.spare_s

    @property
    def critical_tasks(self) -> tuple[str, ...]:
        """See `Workload.critical_tasks`."""
        return ("acknowledged",)

    @property
    def _workers(self) -> int:
        return self.writers + self.creators

    def prepare(self, site: Site) -> ProgressFile:
        """See `Workload.prepare`; the agents of the other hosts report their progress as well."""
        for role in self.hosts:
            target = site.role(role)
            self._put_in_place(site, target, PROGRESS, RECORD, self.seconds)
            target.agent.ask("progress", path=PROGRESS, deadline=site.deadline(5))
        first = site.role(self.hosts[0])
        return ProgressFile(host=first.name, path=PROGRESS, workers=self._workers, log=f"{FOLDER}/log")

    def _put_in_place(self, site: Site, target: Target, progress: str, record: str, seconds: float) -> None:
        capacity = int(seconds * self.per_second) + 1
        sizes = (size_of(self._workers), record_size(self._workers, capacity))
        make = "mkdir -p %s && rm -f %s %s && truncate -s %s %s && truncate -s %s %s"
        arguments = (FOLDER, progress, record, sizes[0], progress, sizes[1], record)
        target.shell.run(make, *arguments, deadline=site.deadline(10))
        target.shell.put(pack(SCRIPT), GUEST, deadline=site.deadline(10))

    def baseline(self, site: Site) -> float | None:
        """See `Workload.baseline`: three seconds of the first host's load; raises InfraError without any write."""
        target = site.role(self.hosts[0])
        record = f"{BASELINE}-record"
        self._put_in_place(site, target, BASELINE, record, BASELINE_S)
        command, *arguments = self._command(BASELINE, record, f"{self.folder}/baseline", BASELINE_S)
        text = target.shell.run(str(command), *arguments, deadline=site.deadline(BASELINE_S + 20), check=False).stdout
        found = re.search(r"^(\d+) operations in ([0-9.]+) s$", text, re.MULTILINE)
        if found is None or not int(found[1]):
            raise InfraError(f"{target.name}: nothing acknowledged in {BASELINE_S:g} s: {text.strip()[-200:]}")
        return int(found[1]) / float(found[2])

    def launch(self, site: Site) -> None:
        """See `Workload.launch`."""
        for role in self.hosts:
            command, *arguments = self._command(PROGRESS, RECORD, self._below(self.folder, role), self.seconds)
            site.role(role).shell.run(
                f"setsid {command} >%s 2>&1 </dev/null &", *arguments, f"{FOLDER}/log", deadline=site.deadline(10)
            )

    def _command(self, progress: str, record: str, folder: str, seconds: float) -> tuple[object, ...]:
        figures = (self.writers, self.creators, self.per_second, seconds)
        arguments = (GUEST, "write", progress, record, folder, *figures)
        return ("python3 -I -S" + " %s" * len(arguments), *arguments)

    def _below(self, folder: str, role: str) -> str:
        return f"{folder}/{role}"

    def measures(self, site: Site, evidence: Path) -> Sequence[Measure]:
        """See `Measuring.measures`; the records are saved in `evidence`."""
        reported = {role: self._reported(site, role) for role in self.hosts}
        (evidence / "acknowledged.json").write_text(json.dumps(reported, indent=1))
        found = [
            measure for role in self.hosts for worker in reported[role] for measure in self._of_worker(role, worker)
        ]
        everybody = [worker for workers in reported.values() for worker in workers]
        found += [
            Measure(name="longest pause of any worker", value=max(map(longest, everybody)), unit="s"),
            Measure(name="acknowledged writes", value=sum(worker["acknowledged"] for worker in everybody)),
            Measure(name="refused writes", value=sum(worker["refused"] for worker in everybody)),
            Measure(name="workers that came to their end", value=sum(worker["over"] for worker in everybody)),
        ]
        if all(worker["over"] for worker in everybody):  # a worker that is not over has not read everything back
            lost = sum(worker["lost"] for worker in everybody)
            found.append(Measure(name="lost writes, read back by whoever wrote them", value=lost))
        if self.disk is not None:
            found.append(self._on_disk(site, reported, evidence))
        return found

    def _reported(self, site: Site, role: str) -> list[dict[str, Any]]:
        done = site.role(role).shell.run("python3 -I -S %s tell %s", GUEST, RECORD, deadline=site.deadline(20))
        workers: list[dict[str, Any]] = json.loads(done.stdout)
        return workers

    def _of_worker(self, role: str, worker: dict[str, Any]) -> list[Measure]:
        who = f"{str(worker['name']).replace('-', ' ')} of {role}"
        pauses = [(float(begin), float(length)) for begin, length in worker["pauses"]]
        found = [
            Measure(name=f"acknowledged writes of {who}", value=int(worker["acknowledged"])),
            Measure(name=f"refused writes of {who}", value=int(worker["refused"])),
            Measure(name=f"longest pause of {who}", value=longest(worker), unit="s"),
        ]
        if self.fault_s is not None:
            value = pause_at(pauses, self.fault_s)
            found.append(Measure(name=f"pause at the fault of {who}", value=value, unit="s"))
        return found

    def _on_disk(self, site: Site, reported: dict[str, list[dict[str, Any]]], evidence: Path) -> Measure:
        """Acknowledged writes that are missing on the storage's own disk."""
        assert self.disk is not None
        target, folder = self.disk(site)
        target.shell.run("mkdir -p %s", FOLDER, deadline=site.deadline(10))
        target.shell.put(pack(SCRIPT), GUEST, deadline=site.deadline(10))
        missing: dict[str, Any] = {}
        for role, workers in reported.items():
            pairs = [word for worker in workers for word in (worker["name"], worker["acknowledged"])]
            command = "python3 -I -S %s check %s" + " %s" * len(pairs)
            arguments = (GUEST, self._below(folder, role), *pairs)
            done = target.shell.run(command, *arguments, deadline=site.deadline(60))
            missing[role] = json.loads(done.stdout)
        (evidence / "acknowledged-lost.json").write_text(json.dumps(missing, indent=1))
        lost = sum(len(numbers) for names in missing.values() for numbers in names.values())
        return Measure(name="lost writes, read from the disk", value=lost)


def longest(worker: dict[str, Any]) -> float:
    """The longest pause of a worker, in seconds."""
    return max((float(length) for _, length in worker["pauses"]), default=0.0)


def pause_at(pauses: Sequence[tuple[float, float]], fault_s: float) -> float:
    """The longest of the pauses (begin, length) that cover the time of a fault, or the moment after it."""
    around = (length for begin, length in pauses if begin <= fault_s + SETTLED_S and begin + length >= fault_s)
    return max(around, default=0.0)
