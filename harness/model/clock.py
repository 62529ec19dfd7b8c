"""Clock and deadlines.

Callers pass the clock in, so that tests can use their own. Calls take deadlines, not timeouts.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Protocol


class Clock(Protocol):
    """A monotonic clock, in seconds."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back."""

    def sleep(self, seconds: float) -> None:
        """Wait for `seconds`."""


class SystemClock:
    """This machine's monotonic clock."""

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`."""
        time.sleep(max(0.0, seconds))


SYSTEM_CLOCK = SystemClock()


@dataclass(frozen=True, slots=True)
class Deadline:
    """An instant on a clock by which something must have happened."""

    at: float
    clock: Clock = field(default=SYSTEM_CLOCK, compare=False, repr=False)

    @classmethod
    def after(cls, seconds: float, clock: Clock = SYSTEM_CLOCK) -> Deadline:
        """The instant `seconds` from now."""
        return cls(clock.monotonic() + seconds, clock)

    def within(self, seconds: float) -> Deadline:
        """The earlier of this deadline and `seconds` from now."""
        return replace(self, at=min(self.at, self.clock.monotonic() + seconds))

    @property
    def remaining(self) -> float:
        """Seconds left; 0.0 once the deadline has passed."""
        return max(0.0, self.at - self.clock.monotonic())

    @property
    def passed(self) -> bool:
        """Whether the deadline has passed."""
        return self.clock.monotonic() >= self.at
