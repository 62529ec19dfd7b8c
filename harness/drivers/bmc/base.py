"""What power sources share: an action is done once the state says so, not when it was accepted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from uuid import UUID

from harness.model.clock import Deadline
from harness.model.errors import HarnessError, InfraError
from harness.model.owned_host import PowerSpec
from harness.model.power import PowerState

POLL_S = 0.5
OFF_S = 0.5  # without power before it comes back
ASK_S = 20.0  # for one answer


class PowerDriver(ABC):
    """A power source; see `protocols.Power`. `ask` and `act` are what one driver differs in."""

    source = ""
    period_s = 10.0

    def __init__(self, spec: PowerSpec, host: str) -> None:
        self.spec, self.host = spec, host

    @abstractmethod
    def ask(self, deadline: Deadline) -> PowerState:
        """The state; raises HarnessError if there is no answer."""

    @abstractmethod
    def act(self, action: str, deadline: Deadline) -> None:
        """Request "on" or "off"; raises HarnessError if that is refused."""

    def identity(self, *, deadline: Deadline) -> str:
        """The UUID that it says its host has; "" if it knows none."""
        return ""

    def state(self, *, deadline: Deadline) -> PowerState:
        """See `Power.state`."""
        try:
            return self.ask(deadline.within(ASK_S))
        except HarnessError:
            return PowerState.UNKNOWN

    def on(self, *, deadline: Deadline) -> None:
        """Switch the power on, and wait until it is; raises InfraError."""
        self._reach(PowerState.ON, "on", deadline)

    def off(self, *, deadline: Deadline) -> None:
        """See `Power.off`."""
        self._reach(PowerState.OFF, "off", deadline)

    def cycle(self, *, deadline: Deadline) -> None:
        """See `Power.cycle`: off and on, each confirmed by the state, since a host may ignore a reset."""
        self.off(deadline=deadline)
        deadline.clock.sleep(OFF_S)
        self.on(deadline=deadline)

    def _reach(self, wanted: PowerState, action: str, deadline: Deadline) -> None:
        state = self.ask(deadline.within(ASK_S))  # here and not in `state`: an error says what is wrong
        if state is wanted:
            return
        self.act(action, deadline)
        while (seen := self.state(deadline=deadline)) is not wanted:
            if deadline.passed:  # perhaps in the middle of that question, so the answer before it is told
                raise InfraError(
                    f"{self.source} of {self.host} accepted power {action}, and its state is still {state}"
                )
            state = seen
            deadline.clock.sleep(POLL_S)


def same_machine(bmc: str, host: str) -> bool:
    """Whether two UUIDs are the same, in any of the byte orders in which firmware and BMCs write them."""
    try:
        one, other = UUID(bmc), UUID(host)
    except ValueError:
        return False
    backwards = one.bytes[::-1]
    return other.bytes in (one.bytes, one.bytes_le, backwards, UUID(bytes=backwards).bytes_le, one.bytes_le[::-1])
