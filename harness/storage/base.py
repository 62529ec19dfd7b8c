"""What a trial asks of the storage under test."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from harness.model.errors import InfraError
from harness.targets.target import Site, Target


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageProbe:
    """How the agent of `host` samples the storage.

    `spec` goes to the agent's storage probe (harness/agent/agent.py, `Direct`); `counters` are files of which it reads
    the numbers beside /proc/vmstat; `evidence` are files worth reading when something hangs.
    """

    host: str
    spec: Mapping[str, Any]
    counters: Mapping[str, str] = field(default_factory=dict)
    evidence: tuple[str, ...] = ()


class Storage(Protocol):
    """Storage under test: set up before the load, torn down after it."""

    def describe(self) -> str:
        """What it is, in a few words."""

    def set_up(self, site: Site) -> StorageProbe:
        """Bring it up; raises InfraError if it cannot be."""

    def baseline(self, site: Site) -> float:
        """Operations of 4 KiB a second that it does when nothing else happens; measured."""

    def tear_down(self, site: Site) -> None:
        """Take it down as far as the hosts still answer; raises InfraError if they do not."""

    @property
    def mortal(self) -> tuple[str, ...]:
        """Names of the tasks that it depends on."""

    @property
    def bound_s(self) -> float:
        """Seconds that its protocol may rightly wait (lease and grace, dead_conn_timeout); 0.0 if there is no bound."""


def time_copies(target: Target, site: Site, *copies: str) -> float:
    """Seconds that the `dd` commands `copies` took together, as dd says; raises InfraError where it says nothing."""
    text = target.shell.run(" && ".join(f"{copy} 2>&1" for copy in copies), deadline=site.deadline(30)).stdout
    seconds = [float(found) for found in re.findall(r"copied, ([0-9.]+) s", text)]
    if len(seconds) != len(copies) or not sum(seconds):
        raise InfraError(f"{target.name}: `{copies[0]}` gave no figures: {text.strip()[-200:]}")
    return sum(seconds)
