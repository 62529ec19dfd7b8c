"""Power states of a host."""

from __future__ import annotations

from enum import StrEnum


class PowerState(StrEnum):
    """The power state that a power source reports; UNKNOWN means no answer, and is no evidence."""

    ON = "on"
    PAUSED = "paused"
    OFF = "off"
    CRASHED = "crashed"
    GONE = "gone"
    UNKNOWN = "unknown"

    @classmethod
    def of(cls, text: str) -> PowerState:
        """The state named in a history; earlier histories have libvirt's words "running" and "shutoff"."""
        try:
            return _EARLIER.get(text) or cls(text)
        except ValueError:
            return cls.UNKNOWN


_EARLIER = {"running": PowerState.ON, "shutoff": PowerState.OFF}
# A host in one of these executes nothing any more, and writes to no disk.
DEAD = frozenset({PowerState.OFF, PowerState.CRASHED, PowerState.GONE})
