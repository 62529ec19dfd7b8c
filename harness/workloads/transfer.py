"""A long transfer between two hosts, outgoing or incoming."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from harness.guest.progress import size_of
from harness.model.errors import InfraError, UsageError
from harness.model.topology import MIB
from harness.site.target import Site, Target
from harness.site.zipapp import pack
from harness.workloads.base import ProgressFile

SCRIPT = Path(__file__).parent / "guest" / "transfer.py"
FOLDER = "/run/harness/workload"
PROGRESS = "/dev/shm/harness-progress"
BASELINE_PROGRESS = "/dev/shm/harness-baseline"
BASELINE_S = 4.0
KINDS = ("iperf3", "file")
DIRECTIONS = ("outgoing", "incoming")
PORT, BASELINE_PORT = 5201, 5202  # iperf3's own, and the next
FILE_SIZE = 32 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """Transfers bulk data for `seconds`, as fast as possible: from `host` ("outgoing") or to it ("incoming").

    `kind` "iperf3" is one TCP stream with the role `peer`. "file" writes (outgoing) or reads (incoming) a file of
    `file_size` bytes at `path`, on a mount, again and again. Writes go through the page cache, with one fsync at the
    end. One operation is 4 KiB transferred.
    """

    host: str = "client"
    peer: str = "server"
    kind: str = "iperf3"
    direction: str = "outgoing"
    path: str = ""
    seconds: float = 60.0
    file_size: int = FILE_SIZE

    def __post_init__(self) -> None:
        """Raises UsageError for an invalid kind, direction, path, time or size."""
        if self.kind not in KINDS or self.direction not in DIRECTIONS:
            raise UsageError(
                f"transfer: {self.kind} {self.direction}; kinds are {', '.join(KINDS)}, "
                f"directions {', '.join(DIRECTIONS)}"
            )
        if (self.kind == "file") != bool(self.path):
            raise UsageError("transfer: `path` is for files, and they need it")
        if self.seconds < 1 or self.file_size < MIB:
            raise UsageError(
                f"transfer: {self.seconds:g} s, a file of {self.file_size} bytes; it takes 1 s and 1 MiB or more"
            )

    def describe(self) -> str:
        """See `Workload.describe`."""
        what = f"iperf3, {self.direction}" if self.kind == "iperf3" else f"file at {self.path}, {self.direction}"
        return f"{what}, for {self.seconds:g} s"

    @property
    def limit_s(self) -> float:
        """See `Workload.limit_s`; it ends by itself, and later where the host is slow."""
        return 3 * self.seconds + 60.0

    @property
    def critical_tasks(self) -> tuple[str, ...]:
        """See `Workload.critical_tasks`."""
        return ("transfer", "iperf3")

    def prepare(self, site: Site) -> ProgressFile:
        """See `Workload.prepare`."""
        self._put_in_place(site, PROGRESS, PORT)
        return ProgressFile(host=site.role(self.host).name, path=PROGRESS, workers=1, log=f"{FOLDER}/log")

    def baseline(self, site: Site) -> float | None:
        """See `Workload.baseline`: the same transfer for some seconds."""
        self._put_in_place(site, BASELINE_PROGRESS, BASELINE_PORT)
        target = site.role(self.host)
        command, *arguments = self._command(site, BASELINE_PROGRESS, BASELINE_PORT, BASELINE_S)
        done = target.shell.run(str(command), *arguments, deadline=site.deadline(BASELINE_S + 20), check=False)
        found = re.search(r"^(\d+) operations in ([0-9.]+) s$", done.stdout, re.MULTILINE)
        if done.exit_code or found is None or not int(found[1]):
            reported = f"{done.stdout} {done.stderr}".strip()[-200:]
            raise InfraError(f"{target.name}: {self.describe()}: nothing moved in {BASELINE_S:g} s: {reported}")
        return int(found[1]) / float(found[2])

    def launch(self, site: Site) -> None:
        """See `Workload.launch`."""
        command, *arguments = self._command(site, PROGRESS, PORT, self.seconds)
        site.role(self.host).shell.run(
            f"setsid {command} >%s 2>&1 </dev/null &", *arguments, f"{FOLDER}/log", deadline=site.deadline(10)
        )

    def _put_in_place(self, site: Site, progress: str, port: int) -> None:
        target = site.role(self.host)
        make = "mkdir -p %s && rm -f %s && truncate -s %s %s"
        target.shell.run(make, FOLDER, progress, size_of(1), progress, deadline=site.deadline(10))
        target.shell.put(pack(SCRIPT), f"{FOLDER}/transfer.pyz", deadline=site.deadline(10))
        if self.kind == "iperf3":
            # -1: it serves one client, and is gone with it.
            site.role(self.peer).shell.run(f"iperf3 -s -1 -D -p {port}", deadline=site.deadline(10))
        else:
            self._make_file(site, target)

    def _make_file(self, site: Site, target: Target) -> None:
        size = self.file_size // MIB * MIB
        make = "test $(stat -c %%s %s) = %s || dd if=/dev/urandom of=%s bs=1M count=%s conv=fsync status=none"
        target.shell.run(make, self.path, size, self.path, size // MIB, deadline=site.deadline(30))

    def _command(self, site: Site, progress: str, port: int, seconds: float) -> tuple[object, ...]:
        where = self.path
        if self.kind == "iperf3":
            where = f"{site.address(site.role(self.peer), seen_from=site.role(self.host))}:{port}"
        arguments = (f"{FOLDER}/transfer.pyz", progress, self.kind, self.direction, where, seconds)
        return ("python3 -I -S" + " %s" * len(arguments), *arguments)
