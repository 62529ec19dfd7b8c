"""Whether a host has power, as whoever controls it says."""

from __future__ import annotations

from enum import StrEnum


class PowerState(StrEnum):
    """What a source of power says of a host; UNKNOWN is no answer, and evidence for nothing."""

    ON = "on"
    PAUSED = "paused"
    OFF = "off"
    CRASHED = "crashed"
    GONE = "gone"
    UNKNOWN = "unknown"

    @classmethod
    def of(cls, text: str) -> PowerState:
        """The state that a history names; "running" and "shutoff" are libvirt's words, of earlier histories."""
        try:
            return _EARLIER.get(text) or cls(text)
        except ValueError:
            return cls.UNKNOWN


_EARLIER = {"running": PowerState.ON, "shutoff": PowerState.OFF}
# A host in one of these executes nothing any more, and writes to no disk.
DEAD = frozenset({PowerState.OFF, PowerState.CRASHED, PowerState.GONE})
