"""The watch's opinion of a running trial."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """States that the watch can find a trial in."""

    IDLE = "idle"
    RUNNING = "running"
    SUSPECT = "suspect"
    STOPPED = "stopped"
    SILENT = "silent"
    AGENT_DEAD = "agent_dead"
    LOCKED = "locked"
    PAUSED = "paused"
    GONE = "gone"
    CRASHED = "crashed"
    KILLED = "killed"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class Opinion:
    """The watch finds `state` since `since_s`; `why` is the reason, `host` is "" if no single host is concerned."""

    state: State
    since_s: float
    why: str
    host: str = ""
