"""The speed of this machine, by which the speed of a host is measured."""

from __future__ import annotations

from harness.agent.agent import calibrate

_own: list[float] = []


def own_speed() -> float:
    """Seconds that this machine takes for the work that measures the speed of hosts; measured once per process."""
    if not _own:
        _own.append(calibrate())
    return _own[0]
