"""A load on the machine that the harness runs on."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field

from harness.site.target import Site

# Busy until its time is over, or until its standard input ends: a pipe from the harness, which also closes when the
# harness is killed. PR_SET_PDEATHSIG would not do: it fires when the thread that started the process ends.
BUSY = """\
import select, sys, time
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end and not select.select([0], [], [], 0)[0]:
    for number in range(200_000):
        pass
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overload:
    """`processes` busy processes on the harness's own machine, at most one for each processor.

    They also end by themselves after `heal_after_s`, since a trial may end before its faults are healed.
    """

    processes: int = 2
    at_s: float = 0.0
    heal_after_s: float = 20.0
    _running: list[subprocess.Popen[bytes]] = field(default_factory=list, init=False, repr=False, compare=False)

    def describe(self) -> str:
        """See `Fault.describe`."""
        return f"{self.processes} busy processes on the harness's machine"

    def inject(self, site: Site) -> None:
        """See `Fault.inject`."""
        command = [sys.executable, "-I", "-S", "-c", BUSY, str(self.heal_after_s)]
        for _ in range(min(self.processes, os.cpu_count() or 1)):
            self._running.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL))

    def heal(self, site: Site) -> None:
        """See `Fault.heal`."""
        while self._running:
            process = self._running.pop()
            process.kill()
            process.communicate()
