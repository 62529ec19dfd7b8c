"""An owned machine for unit tests: it boots, hangs and fails as it is told, by the clock of the test."""

from __future__ import annotations

from dataclasses import dataclass, field

from fakes import FakeClock

from harness.drivers.protocols import Completed
from harness.model.clock import Deadline
from harness.model.errors import DeadlineExceeded, InfraError
from harness.model.power import PowerState
from harness.physical.reservation import LOOK

OWN, OTHER = "6.1.0-57-amd64", "6.12.1"


@dataclass
class Machine:
    """`boots` are the kernels and tokens of its next boots, the last one for ever; None: it does not come up."""

    clock: FakeClock
    boots: list[tuple[str, str] | None] = field(default_factory=lambda: [(OWN, "")])
    boot_s: float = 40.0
    kernel: str = OTHER
    run: str = ""
    number: int = 1
    is_up: bool = True
    obeys: bool = True
    acts: list[str] = field(default_factory=list)
    up_at: float = 0.0
    refusals: int = 0

    def restart(self) -> None:
        """Boot once more."""
        boot = self.boots.pop(0) if len(self.boots) > 1 else self.boots[0]
        self.number += 1
        self.is_up = boot is not None
        self.up_at = self.clock.monotonic() + self.boot_s
        self.kernel, self.run = boot or ("", "")

    # Shell

    def run_command(self, command: str, deadline: Deadline) -> str:
        if not self.is_up or self.clock.monotonic() < self.up_at:
            self.clock.sleep(deadline.remaining)
            raise DeadlineExceeded(host="m1", command=command, problem="no answer in time")
        if "reboot" in command or "sysrq-trigger" in command:
            self.acts.append("reboot" if "reboot" in command else "sysrq")
            if self.obeys:
                self.restart()
                raise InfraError("the connection was lost")
            return ""
        if command == LOOK:
            return f"\n{self.run}\n0\n\n"
        return f"boot-{self.number}\n" + (f"{self.kernel}\n" if "uname" in command else "")


@dataclass
class MachineShell:
    """Its shell."""

    machine: Machine

    def run(self, command: str, *arguments: object, deadline: Deadline, check: bool = True) -> Completed:
        text = self.machine.run_command(command, deadline)
        return Completed(command=command, exit_code=0, stdout=text, stderr="")

    def put(self, source: object, target: str, *, deadline: Deadline, mode: int = 0o644) -> None:
        raise NotImplementedError

    def close(self) -> None:
        pass


@dataclass
class MachinePower:
    """Its BMC, which refuses the first `refusals` requests of the machine."""

    machine: Machine
    source: str = "BMC"
    period_s: float = 10.0

    def state(self, *, deadline: Deadline) -> PowerState:
        return PowerState.ON

    def off(self, *, deadline: Deadline) -> None:
        raise NotImplementedError

    def cycle(self, *, deadline: Deadline) -> None:
        self.machine.acts.append("cycle")
        if self.machine.refusals:
            self.machine.refusals -= 1
            raise InfraError("the BMC is unreachable")
        self.machine.restart()
