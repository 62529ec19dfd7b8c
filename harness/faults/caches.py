"""A process that drops caches, and can be killed meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.model.errors import InfraError
from harness.model.measure import Measure
from harness.site.target import Site

FOLDER = "/run/harness/caches"
ORDER_S = 10.0
UPTIME = "read up rest </proc/uptime; echo $up"
# The shell itself writes to drop_caches, so it is the process to kill. Its notes lie on a ramfs, which never blocks.
DROP = f"""\
echo $$ >{FOLDER}/pid; {{ {UPTIME}; }} >{FOLDER}/begun
echo $0 >/proc/sys/vm/drop_caches
{{ {UPTIME}; }} >{FOLDER}/ended
"""
START = f"mkdir -p {FOLDER} && rm -f {FOLDER}/* && (setsid sh -c %s %s >/dev/null 2>&1 </dev/null &)"
KILL = (
    f"! test -s {FOLDER}/pid || test -s {FOLDER}/ended || "
    f"{{ kill -KILL $(cat {FOLDER}/pid) && {{ {UPTIME}; echo killed; }} >{FOLDER}/ended; }}"
)
TELL = f"cat {FOLDER}/begun; {{ cat {FOLDER}/ended || {{ {UPTIME}; echo waits; }}; }} 2>/dev/null"


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheDropper:
    """A process on the host that plays `role` drops caches (1 page cache, 2 slab, 3 both); healing kills it.

    It is for caches that cannot be dropped at once: the process then waits, holding the locks that the case is about.
    """

    role: str
    value: int = 3
    at_s: float = 0.0
    heal_after_s: float | None = None

    def describe(self) -> str:
        """See `Fault.describe`."""
        return f"a process on {self.role} drops caches ({self.value})"

    def inject(self, site: Site) -> None:
        """See `Fault.inject`."""
        site.role(self.role).shell.run(START, DROP, self.value, deadline=site.deadline(ORDER_S))

    def heal(self, site: Site) -> None:
        """See `Fault.heal`; a process that has ended need not be killed."""
        site.role(self.role).shell.run(KILL, deadline=site.deadline(ORDER_S))

    def measures(self, site: Site, evidence: Path) -> Sequence[Measure]:
        """See `Measuring.measures`: "yes", "waits" or "killed", and the time in drop_caches."""
        reported = site.role(self.role).shell.run(TELL, deadline=site.deadline(ORDER_S), check=False).stdout.split()
        if len(reported) < 2:
            raise InfraError(f"{self.describe()}: it never began")
        seconds = round(float(reported[1]) - float(reported[0]), 1)
        return (
            Measure(name="caches dropped", value=reported[2] if len(reported) > 2 else "yes"),
            Measure(name="time in drop_caches", value=seconds, unit="s"),
        )
