"""What a trial asks of a load."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from harness.site.target import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressFile:
    """Where a workload reports: a shared file on `host` in the layout of docs/agent.md, and its `log`."""

    host: str
    path: str
    workers: int
    log: str


class Workload(Protocol):
    """A load: prepared first, so that its launch is one command, and watched through its progress file."""

    def describe(self) -> str:
        """What it does, in a few words."""

    def prepare(self, site: Site) -> ProgressFile:
        """Put everything in place on its host; nothing runs yet."""

    def baseline(self, site: Site) -> float | None:
        """Operations a second of this load when nothing else happens, measured; None: take the storage's."""

    def launch(self, site: Site) -> None:
        """Set it going; returns at once."""

    @property
    def limit_s(self) -> float:
        """Seconds after which it is given up; of a load that has an end, seconds that its hosts' processors had."""

    @property
    def critical_tasks(self) -> tuple[str, ...]:
        """Names of its tasks, as the OOM killer prints them."""


@runtime_checkable
class TimeLimited(Workload, Protocol):
    """A load that may be meant to run for its time and no more; with any other that is no proof of anything."""

    @property
    def time_limited(self) -> bool:
        """Whether it has done its work when its time is over."""
