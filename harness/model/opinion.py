"""What is thought of a trial while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """What the watch thinks of a trial."""

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
    """`state` since `since_s`, and why, in words; `host` is whom it is about, "" if that is no single one."""

    state: State
    since_s: float
    why: str
    host: str = ""
