"""A file copy like that of a crash collector: through the page cache, or past it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.guest.progress import size_of
from harness.model.errors import UsageError
from harness.site.target import Site
from harness.site.zipapp import pack
from harness.workloads.base import ProgressFile

SCRIPT = Path(__file__).parent / "guest" / "copy.py"
FOLDER = "/run/harness/workload"
PROGRESS = "/dev/shm/harness-copy"
METHODS = ("cp", "shutil", "direct")


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """Copies the file `source` of `host` to the file `target`, and ends when the copy is on the disk.

    `method` "cp" is the program, "shutil" Python's `shutil.copy`. "direct" maps the source into memory and writes the
    target past the page cache. One operation is a page of 4 KiB that has arrived in the copy.
    """

    host: str = "client"
    method: str = "cp"
    source: str
    target: str
    limit_s: float = 600.0

    def __post_init__(self) -> None:
        """Raises UsageError for an unknown method."""
        if self.method not in METHODS:
            raise UsageError(f"copy: no method {self.method!r}; the methods are: {', '.join(METHODS)}")

    def describe(self) -> str:
        """See `Workload.describe`."""
        return f"{self.source} copied to {self.target} ({self.method})"

    @property
    def critical_tasks(self) -> tuple[str, ...]:
        """See `Workload.critical_tasks`."""
        return ("copy", "cp")

    def prepare(self, site: Site) -> ProgressFile:
        """See `Workload.prepare`."""
        target = site.role(self.host)
        make = "mkdir -p %s && rm -f %s && truncate -s %s %s"
        target.shell.run(make, FOLDER, PROGRESS, size_of(1), PROGRESS, deadline=site.deadline(10))
        target.shell.put(pack(SCRIPT), f"{FOLDER}/copy.pyz", deadline=site.deadline(10))
        return ProgressFile(host=target.name, path=PROGRESS, workers=1, log=f"{FOLDER}/log")

    def baseline(self, site: Site) -> float | None:
        """See `Workload.baseline`: the storage's, since the operation of both is a page."""
        return None

    def launch(self, site: Site) -> None:
        """See `Workload.launch`."""
        command = "setsid" + " %s" * len(self.command) + " >%s 2>&1 </dev/null &"
        target = site.role(self.host)
        target.shell.run(command, *self.command, f"{FOLDER}/log", deadline=site.deadline(10))

    @property
    def command(self) -> tuple[str, ...]:
        """The command that runs the copy, for a load that starts it beside itself."""
        return ("python3", "-I", "-S", f"{FOLDER}/copy.pyz", PROGRESS, self.method, self.source, self.target)
