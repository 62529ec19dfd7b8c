"""Power by commands of the owner's: whatever switches a host in his lab."""

from __future__ import annotations

from harness.drivers.bmc.base import PowerDriver
from harness.drivers.commands import run_command
from harness.model.clock import Deadline
from harness.model.errors import InfraError
from harness.model.power import PowerState

STATES = {"on": PowerState.ON, "off": PowerState.OFF}


class CommandPower(PowerDriver):
    """Commands of this machine, run by sh; `status` prints on, off or unknown."""

    source = "the power command"

    def ask(self, deadline: Deadline) -> PowerState:
        """See `PowerDriver.ask`."""
        words = self._run(self.spec.status, deadline).split()
        return STATES.get(words[0].lower() if words else "", PowerState.UNKNOWN)

    def act(self, action: str, deadline: Deadline) -> None:
        """See `PowerDriver.act`."""
        self._run(self.spec.on if action == "on" else self.spec.off, deadline)

    def cycle(self, *, deadline: Deadline) -> None:
        """See `Power.cycle`: the owner's own command for it, if there is one."""
        if not self.spec.cycle:
            super().cycle(deadline=deadline)
            return
        self._run(self.spec.cycle, deadline)
        self.on(deadline=deadline)

    def _run(self, command: str, deadline: Deadline) -> str:
        try:
            output = run_command(command, deadline=deadline)
        except InfraError as error:
            raise InfraError(f"power of {self.host}: {error}") from error
        if output.exit_code:
            raise InfraError(f"power of {self.host}: `{command}` failed: {output.reason}")
        return output.out
