"""A process that writes a large file beside the load."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.model.errors import InfraError, UsageError
from harness.model.measure import Measure
from harness.site.target import Site

RUN = "/run/harness/bulk"
ORDER_S = 10.0
# Beside dd, once a second: the dirty pages, and their limit.
WRITE = f"""\
dd if=/dev/zero of=$0 bs=64k count=$1 conv=fsync 2>{RUN}/out & echo $! >{RUN}/pid
while kill -0 $!; do grep -E '^nr_(dirty|writeback|dirty_threshold) ' /proc/vmstat >>{RUN}/dirty; sleep 1; done
"""
START = f"mkdir -p {RUN} && rm -f {RUN}/* && (setsid sh -c %s %s %s >/dev/null 2>&1 </dev/null &)"
STOP = f"kill -KILL $(cat {RUN}/pid); rm -f %s"
TELL = f"grep -q copied {RUN}/out && echo copied 1; cat {RUN}/dirty"


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkWriter:
    """A process on the host that plays `role` writes `mib` MiB to `path`, through the page cache, and flushes them.

    Healing kills the process and removes the file. A measure shows the highest ratio of the host's dirty pages to their
    limit.
    """

    role: str
    path: str
    mib: int
    at_s: float = 0.0
    heal_after_s: float | None = None

    def __post_init__(self) -> None:
        """Raises UsageError for a file of less than 1 MiB."""
        if self.mib < 1:
            raise UsageError(f"BulkWriter: a file of {self.mib} MiB; give 1 or more")

    def describe(self) -> str:
        """See `Fault.describe`."""
        return f"{self.role} writes {self.mib} MiB to {self.path}"

    def inject(self, site: Site) -> None:
        """See `Fault.inject`."""
        arguments = (WRITE, self.path, self.mib * 16)
        site.role(self.role).shell.run(START, *arguments, deadline=site.deadline(ORDER_S))

    def heal(self, site: Site) -> None:
        """See `Fault.heal`."""
        site.role(self.role).shell.run(STOP, self.path, deadline=site.deadline(ORDER_S), check=False)

    def measures(self, site: Site, evidence: Path) -> Sequence[Measure]:
        """See `Measuring.measures`."""
        text = site.role(self.role).shell.run(TELL, deadline=site.deadline(ORDER_S), check=False).stdout
        found: dict[str, list[int]] = {}
        for name, value in (line.split() for line in text.splitlines()):
            found.setdefault(name, []).append(int(value))
        limits = found.get("nr_dirty_threshold", [])
        if not limits:
            raise InfraError(f"{self.describe()}: it never began")
        samples = zip(found["nr_dirty"], found["nr_writeback"], limits, strict=False)
        most = max((dirty + writeback) / max(1, limit) for dirty, writeback, limit in samples)
        return (
            Measure(name="bulk write ended", value="yes" if "copied" in found else "no"),
            Measure(name="dirty pages at most, of what is allowed", value=round(most, 2)),
        )
