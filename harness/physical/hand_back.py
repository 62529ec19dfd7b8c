"""The hand-back of a host: booted into its owner's kernel and compared with what it was, or put into quarantine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.drivers.protocols import Power, Shell
from harness.model.clock import SYSTEM_CLOCK, Deadline
from harness.model.errors import HarnessError
from harness.model.owned_host import OwnedHost
from harness.physical import home
from harness.physical.survey import HostSurvey, differences, survey
from harness.state.hosts import HostFiles

SURVEY_S = 120.0
BACK_S = 90.0  # for services to start once SSH answers
LOOK_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HandBack:
    """What is needed to hand one host back; `before` is its survey from before the first change, if there is one.

    `kernel` is the release of its owner's kernel, "" to take any that is not of a run.
    """

    host: str
    spec: OwnedHost
    shell: Shell
    power: Power | None
    kernel: str
    before: HostSurvey | None
    files: HostFiles
    note: Callable[[str], None]
    boot_id: str = ""

    def boot(self, *, hung: bool, evidence: str = "") -> bool:
        """Boot it into its owner's kernel; returns whether it came back. One that does not is put into quarantine."""
        way = home.WayHome(
            host=self.host,
            shell=self.shell,
            power=self.power,
            kernel=self.kernel,
            boot_s=self.spec.boot_s,
            note=self.note,
            boot_id=self.boot_id,
        )
        try:
            way.boot(hung=hung)
        except HarnessError as error:
            reason = error.reason if isinstance(error, home.NotHome) else str(error).splitlines()[0]
            self.files.put_in_quarantine(reason, evidence)
            self.note(f"{self.host} is in quarantine: {reason}")
            return False
        self._compare()
        return True

    def rest(self) -> tuple[str, ...]:
        """How the host differs from what it was, one line each; raises ShellError if it does not answer."""
        if self.before is None:
            return ()
        return differences(self.before, survey(self.shell, self.host, programs=(), deadline=Deadline.after(SURVEY_S)))

    def _compare(self) -> None:
        """Note what stays different once its services have had time to start."""
        deadline = Deadline.after(BACK_S)
        try:
            while (rest := self.rest()) and not deadline.passed:
                SYSTEM_CLOCK.sleep(LOOK_S)
        except HarnessError as error:
            rest = (f"it cannot be compared: {str(error).splitlines()[0]}",)
        for line in rest:
            self.note(f"{self.host} is not as it was: {line}")
