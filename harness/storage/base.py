"""What a trial asks of the storage under test."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from harness.model.errors import HarnessError, InfraError
from harness.model.storage_protocols import StorageProtocol
from harness.model.topology import Topology
from harness.site.target import Site, Target

PAGE = 4096
BASELINE_PAGES = 4096
BASELINE_S = 3
MEMORY = ("/proc/meminfo", "/proc/vmstat", "/proc/pressure/memory", "/proc/pressure/io")  # evidence of any storage
# All of the tables now: ext4 would fill them in the background for minutes.
MKFS = "mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0,nodiscard"


# By host whose storage it is, the hosts that serve it, in the order in which one takes over from another.
ServedBy = Mapping[str, tuple[str, ...]]


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

    @property
    def protocol(self) -> StorageProtocol | None:
        """What its client and its server speak; None if it is local."""

    def served_by(self, topology: Topology) -> ServedBy:
        """Who serves it to whom; empty if it is local."""

    def set_up(self, site: Site) -> StorageProbe:
        """Bring it up; raises InfraError if it cannot be."""

    def baseline(self, site: Site) -> float:
        """Operations of 4 KiB a second that it does when nothing else happens; measured."""

    def tear_down(self, site: Site) -> None:
        """Take it down as far as the hosts still answer; raises InfraError if they do not."""

    @property
    def critical_tasks(self) -> tuple[str, ...]:
        """Names of the tasks that it depends on."""

    @property
    def bound_s(self) -> float:
        """Seconds that its protocol may rightly wait (lease and grace, dead_conn_timeout); 0.0 if there is no bound."""


def serves(topology: Topology, servers: Sequence[str], clients: Sequence[str]) -> ServedBy:
    """The hosts of the roles `clients`, each served by those of the roles `servers`."""
    roles = topology.roles
    return {roles[role]: tuple(roles[one] for one in servers if one in roles) for role in clients if role in roles}


def unmount(folder: str) -> str:
    """A command that unmounts `folder`, if it is mounted; who has it open may take a moment to let go."""
    return f"for i in $(seq 50); do mountpoint -q {folder} || break; umount {folder} || sleep 0.2; done"


def take_down(who: str, *steps: Callable[[], None]) -> None:
    """Take every step of a tear-down, also after one that failed; raises InfraError with all that went wrong."""
    problems = []
    for step in steps:
        try:
            step()
        except HarnessError as error:
            problems.append(str(error))
    if problems:
        raise InfraError(f"{who}: {'; '.join(problems)}")


def pages_per_second(target: Target, site: Site, *copies: str) -> float:
    """Pages a second of the `dd` commands `copies` (without bs and count) together, as dd says.

    A page at a time, as a page-in is: in pieces of 1 MiB the same disk moves ten to fifty times as many, and no load of
    pages would ever come near that. Raises InfraError where dd says nothing.
    """
    # --foreground: a signal for dd alone; a second one, to the group, can end it before it has said its figures.
    limits = f"bs={PAGE} count={BASELINE_PAGES} conv=notrunc"
    script = "; ".join(f"timeout --foreground -s INT {BASELINE_S} {copy} {limits} 2>&1" for copy in copies)
    text = target.shell.run(script, deadline=site.deadline(30), check=False).stdout
    reported = [
        (int(count), float(seconds)) for count, seconds in re.findall(r"(\d+) bytes.* copied, ([0-9.]+) s", text)
    ]
    pages, seconds = sum(count for count, _ in reported) // PAGE, sum(seconds for _, seconds in reported)
    if len(reported) != len(copies) or not pages or not seconds:
        raise InfraError(f"{target.name}: `{copies[0]}` gave no figures: {text.strip()[-200:]}")
    return pages / seconds
