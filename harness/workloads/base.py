"""The protocol of a load."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from harness.site.target import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressFile:
    """A workload's progress file on `host`, in the layout of docs/agent.md, and its `log`."""

    host: str
    path: str
    workers: int
    log: str


class Workload(Protocol):
    """A load: prepared first, so that its launch is one command, and watched through its progress file."""

    def describe(self) -> str:
        """The load in a few words."""

    def prepare(self, site: Site) -> ProgressFile:
        """Put everything in place on the hosts; nothing runs yet."""

    def baseline(self, site: Site) -> float | None:
        """The measured rate of this load alone, in operations a second; None: use the storage's baseline."""

    def launch(self, site: Site) -> None:
        """Start the load; returns at once."""

    @property
    def limit_s(self) -> float:
        """Seconds after which the load is given up; for a load with an end, steal time of its hosts does not count."""

    @property
    def critical_tasks(self) -> tuple[str, ...]:
        """Names of the load's tasks, as the OOM killer prints them."""


@runtime_checkable
class TimeLimited(Workload, Protocol):
    """A load that may be meant to run until its limit. For any other load, reaching the limit proves nothing."""

    @property
    def time_limited(self) -> bool:
        """Whether the load has done its work when its time is over."""
