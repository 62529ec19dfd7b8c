"""The thresholds of a trial, in seconds; they are part of its history, so that a verdict can be recomputed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

# Names in histories of harness 0.1.
_NAMES_BEFORE = {"mortal": "critical_tasks", "endless": "time_limited"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How long a symptom must last until the watch is sure of it.

    - `stop_s`: no progress for so long while a rung is blocked is a stop. It is the one threshold that is not scaled:
      survivors under software emulation, 10 to 39 times slower, were without progress for at most 2.0 s, while their
      `alloc` rung was blocked for up to 46 s.
    - `quiet_s`: no progress for so long while every rung answers is a stop.
    - `silent_s`: no heartbeat, or no tick of one processor.
    - `work_s`: deferred work does not end although there is memory (the kernel's own watchdog takes 30 s).
    - `patience_s`: time for a stop to end by itself before the recovery probe begins. TCP's eighth retransmission
      comes 25.6 s after its seventh if the first took 0.2 s, and may end a stall of network storage.
    - `hold_s`, `release_s`: how long each step of the recovery probe waits.
    - `livelock_share`, `livelock_s`: less than this share of the baseline for so long is a crawl.
    - `bound_s`: how long the storage's protocol may wait.
    - `critical_tasks`: tasks whose death by the OOM killer decides a trial.
    """

    stop_s: float = 4.0
    quiet_s: float = 30.0
    silent_s: float = 4.0
    work_s: float = 20.0
    patience_s: float = 30.0
    hold_s: float = 8.0
    release_s: float = 10.0
    livelock_s: float = 12.0
    livelock_share: float = 0.01
    bound_s: float = 0.0
    time_limited: bool = False
    critical_tasks: tuple[str, ...] = ()

    def scaled(self, slowdown: float) -> Policy:
        """The policy for a target that is `slowdown` times slower than this machine.

        The factor is bounded: once every rung has had several turns, waiting longer costs more than it gains. It never
        lowers a threshold below its default.
        """
        factor = min(2.0, max(1.0, slowdown / 15.0))
        stretched = ("quiet_s", "silent_s", "work_s", "hold_s", "release_s")
        return replace(self, **{name: round(getattr(self, name) * factor, 2) for name in stretched})

    def to_dict(self) -> dict[str, Any]:
        """The policy as plain JSON values."""
        return {**asdict(self), "critical_tasks": list(self.critical_tasks)}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Policy:
        """The policy that `to_dict` wrote; missing values get their defaults."""
        known = {field.name for field in fields(cls)}
        values = {_NAMES_BEFORE.get(name, name): value for name, value in record.items()}
        values = {name: value for name, value in values.items() if name in known}
        if "critical_tasks" in values:
            values["critical_tasks"] = tuple(str(name) for name in values["critical_tasks"])
        return cls(**values)
