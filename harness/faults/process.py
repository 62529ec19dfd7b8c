"""Faults of processes and of the clock: one short command each in the shell of the host."""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.model.errors import ShellError
from harness.model.power import DEAD
from harness.site.target import Site

# The brackets keep pkill's own command line, and that of its shell, from matching.
AGENT = r"[a]gent\.py agent\.json"
ORDER_S = 30.0  # a shell starts slowly when memory is short
POWER_S = 5.0
SHELL_DIED = -1  # the exit code when a signal ended the shell, or the connection broke
# The newest task of that name: a daemon with one process for each client serves with the newest.
NEWEST = "pgrep -n -x %s"
# The agent's oldest process is the main one, and the others die with it (docs/agent.md).
OLDEST = "pgrep -o -f %s"
# The OOM killer works in the background, and its line is the only proof of its victim.
OOM_KILL = """\
pid=$({find}) || {{ echo "there is no such task"; exit 3; }}
echo 1000 >/proc/$pid/oom_score_adj && echo f >/proc/sysrq-trigger || exit 4
for i in $(seq 20); do dmesg | grep -q "Killed process $pid (" && exit 0; sleep 0.5; done
echo "not $pid was killed"; dmesg | grep 'Killed process' | tail -n 1; exit 5
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class KillAgent:
    """The agent's main process on the host that plays `role` is killed, and its children die with it."""

    role: str
    at_s: float = 0.0
    heal_after_s: float | None = None

    def describe(self) -> str:
        """See `Fault.describe`."""
        return f"agent on {self.role} killed"

    def inject(self, site: Site) -> None:
        """See `Fault.inject`."""
        _order(site, self.role, "pkill -KILL -o -f %s", AGENT)

    def heal(self, site: Site) -> None:
        """Nothing to undo: a killed agent does not come back within its trial."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeAgent:
    """All processes of the agent on the host that plays `role` are stopped."""

    role: str
    at_s: float = 0.0
    heal_after_s: float | None = None

    def describe(self) -> str:
        """See `Fault.describe`."""
        return f"agent on {self.role} frozen"

    def inject(self, site: Site) -> None:
        """See `Fault.inject`."""
        _order(site, self.role, "pkill -STOP -f %s", AGENT)

    def heal(self, site: Site) -> None:
        """See `Fault.heal`."""
        _order(site, self.role, "pkill -CONT -f %s", AGENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class KillProcess:
    """Every process called `comm` on the host that plays `role` is killed.

    If the host's swap depends on the process, the shell that kills it may die as well, before it reports success.
    """

    role: str
    comm: str
    at_s: float = 0.0
    heal_after_s: float | None = None

    def describe(self) -> str:
        """See `Fault.describe`."""
        return f"{self.comm} on {self.role} killed"

    def inject(self, site: Site) -> None:
        """See `Fault.inject`."""
        _order(site, self.role, "pkill -KILL -x %s", re.escape(self.comm), done=(0, SHELL_DIED))

    def heal(self, site: Site) -> None:
        """Nothing to undo: a killed process does not come back within its trial."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OomKill:
    """The kernel's OOM killer kills the newest task called `comm` on the host that plays `role`.

    The fault makes the task the first choice (oom_score_adj) and calls the killer with sysrq `f`. InfraError if the
    victim is another task.
    """

    role: str
    comm: str
    at_s: float = 0.0
    heal_after_s: float | None = None

    def describe(self) -> str:
        """See `Fault.describe`."""
        return f"{self.comm} on {self.role} killed by the OOM killer"

    def inject(self, site: Site) -> None:
        """See `Fault.inject`."""
        _order(site, self.role, OOM_KILL.format(find=NEWEST), re.escape(self.comm))

    def heal(self, site: Site) -> None:
        """Nothing to undo: a killed process does not come back within its trial."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OomKillAgent:
    """The kernel's OOM killer kills the agent's main process on the host that plays `role`.

    `OomKill` would not do: the parent of a workload may be called "python3" as well.
    """

    role: str
    at_s: float = 0.0
    heal_after_s: float | None = None

    def describe(self) -> str:
        """See `Fault.describe`."""
        return f"agent on {self.role} killed by the OOM killer"

    def inject(self, site: Site) -> None:
        """See `Fault.inject`."""
        _order(site, self.role, OOM_KILL.format(find=OLDEST), AGENT)

    def heal(self, site: Site) -> None:
        """Nothing to undo: a killed agent does not come back within its trial."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockJump:
    """The wall clock of the host that plays `role` jumps by `seconds`, which may be negative; healing reverts it."""

    role: str
    seconds: int
    at_s: float = 0.0
    heal_after_s: float | None = None

    def describe(self) -> str:
        """See `Fault.describe`."""
        return f"clock of {self.role} jumps by {self.seconds:+d} s"

    def inject(self, site: Site) -> None:
        """See `Fault.inject`."""
        self._jump(site, self.seconds)

    def heal(self, site: Site) -> None:
        """See `Fault.heal`."""
        self._jump(site, -self.seconds)

    def _jump(self, site: Site, seconds: int) -> None:
        _order(site, self.role, "date -s %s >/dev/null", f"{seconds:+d} seconds")


def _order(site: Site, role: str, command: str, *arguments: object, done: tuple[int, ...] = (0,)) -> None:
    """Run a command on a host; raises InfraError for an exit code not in `done`, or for none though the host lives.

    If a fault may not have happened, the trial's truth is unknown. A host that dies of the fault before it answers is
    no error.
    """
    target = site.role(role)
    try:
        code = target.shell.run(command, *arguments, deadline=site.deadline(ORDER_S), check=done == (0,)).exit_code
        if code not in done:
            raise ShellError(host=target.name, command=command, problem=f"exit code {code}")
    except ShellError:
        if target.power.state(deadline=site.deadline(POWER_S)) not in DEAD:
            raise
