"""Take-over and fencing after a node of a cluster died."""

from __future__ import annotations

from dataclasses import dataclass

from harness.drivers.protocols import Power
from harness.model.clock import SYSTEM_CLOCK, Deadline
from harness.model.errors import InfraError
from harness.model.power import DEAD
from harness.site.capabilities import Capabilities
from harness.site.target import Site

POLL_S = 0.3
ASKED, ANSWER = "asked", "dead"  # harness/storage/guest/fence_harness.sh
OFF_S, STATE_S = 60.0, 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeOver:
    """The host that plays `role` runs `command` to take a service over from `fenced`, which must be dead by then.

    Two nodes that write to one disk destroy its data. If `fenced` still runs, the case is wrong and the fault fails.
    """

    command: str
    role: str = "second"
    fenced: str = "first"
    at_s: float = 0.0
    heal_after_s: float | None = None
    act_s: float = 30.0

    def describe(self) -> str:
        """See `Fault.describe`."""
        return f"{self.role} takes over from {self.fenced}"

    def requires(self) -> Capabilities:
        """See `Requiring.requires`."""
        return {self.fenced: (Power,)}

    def inject(self, site: Site) -> None:
        """See `Fault.inject`; raises InfraError if the other node still runs, or if the take-over fails."""
        state = site.role(self.fenced).power.state(deadline=site.deadline(STATE_S))
        if state not in DEAD:
            raise InfraError(f"{self.role} must not take over: {self.fenced} is {state}; fence it before")
        site.role(self.role).shell.run(self.command, deadline=site.deadline(self.act_s))

    def heal(self, site: Site) -> None:
        """Nothing to undo: the service stays where it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerFencing:
    """The harness acts as the power switch of a cluster: when `role` asks to fence `victim`, it powers `victim` off.

    The fault waits `wait_s` for the request, which comes through files in `folder` (fence_harness.sh). It answers once
    the victim's power control reports that the power is off.
    """

    folder: str
    role: str = "second"
    victim: str = "first"
    at_s: float = 0.0
    heal_after_s: float | None = None
    wait_s: float = 60.0

    def describe(self) -> str:
        """See `Fault.describe`."""
        return f"{self.victim} fenced because {self.role} asked for it"

    def requires(self) -> Capabilities:
        """See `Requiring.requires`."""
        return {self.victim: (Power,)}

    def expels(self, site: Site) -> str:
        """See `faults.base.Expelling`."""
        return site.role(self.victim).name

    def inject(self, site: Site) -> None:
        """See `Fault.inject`; raises InfraError if no request comes, or if the victim stays on."""
        asker, victim = site.role(self.role), site.role(self.victim)
        deadline = Deadline.after(self.wait_s)
        while not self._is_asked(site):
            if deadline.passed:
                raise InfraError(f"{self.role} did not ask to fence {self.victim} within {self.wait_s:g} s")
            SYSTEM_CLOCK.sleep(POLL_S)
        victim.power.off(deadline=site.deadline(OFF_S))
        if (state := victim.power.state(deadline=site.deadline(STATE_S))) not in DEAD:
            raise InfraError(f"{self.victim} is {state} though it was fenced")
        asker.shell.run("echo %s >>%s", victim.name, f"{self.folder}/{ANSWER}", deadline=site.deadline(10))

    def _is_asked(self, site: Site) -> bool:
        look = ("grep -qxF %s %s", site.role(self.victim).name, f"{self.folder}/{ASKED}")
        return site.role(self.role).shell.run(*look, deadline=site.deadline(10), check=False).exit_code == 0

    def heal(self, site: Site) -> None:
        """Nothing to undo: a fenced node does not come back within its trial."""
