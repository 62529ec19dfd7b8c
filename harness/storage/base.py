"""The protocol of a storage under test, and helpers that storages share."""

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
# Write all inode tables now: ext4 would otherwise fill them in the background for minutes.
MKFS = "mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0,nodiscard"


# Client host → the hosts that serve it, in the order in which they take over from each other.
ServedBy = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageProbe:
    """How the agent of `host` samples the storage.

    `spec` goes to the agent's storage probe (harness/agent/agent.py, `Direct`). `counters` are files with numbers that
    the agent records beside /proc/vmstat. `evidence` are files that are read when something hangs.
    """

    host: str
    spec: Mapping[str, Any]
    counters: Mapping[str, str] = field(default_factory=dict)
    evidence: tuple[str, ...] = ()


class Storage(Protocol):
    """Storage under test: set up before the load, torn down after it."""

    def describe(self) -> str:
        """The storage in a few words."""

    @property
    def protocol(self) -> StorageProtocol | None:
        """The protocol between client and server; None for local storage."""

    def served_by(self, topology: Topology) -> ServedBy:
        """The serving hosts of each client; empty for local storage."""

    def set_up(self, site: Site) -> StorageProbe:
        """Bring the storage up; raises InfraError if that fails."""

    def baseline(self, site: Site) -> float:
        """The measured rate without other load, in operations of 4 KiB a second."""

    def tear_down(self, site: Site) -> None:
        """Take the storage down as far as the hosts still answer; raises InfraError if they do not."""

    @property
    def critical_tasks(self) -> tuple[str, ...]:
        """Names of the tasks that the storage depends on."""

    @property
    def bound_s(self) -> float:
        """Seconds that requests may wait by design (lease and grace, dead_conn_timeout); 0.0: there is no bound."""


def serves(topology: Topology, servers: Sequence[str], clients: Sequence[str]) -> ServedBy:
    """Maps the host of each role in `clients` to the hosts of the roles in `servers`."""
    roles = topology.roles
    return {roles[role]: tuple(roles[one] for one in servers if one in roles) for role in clients if role in roles}


def unmount(folder: str) -> str:
    """A command that unmounts `folder` if it is mounted; it retries for a while, since a process may have it open."""
    return f"for i in $(seq 50); do mountpoint -q {folder} || break; umount {folder} || sleep 0.2; done"


def take_down(who: str, *steps: Callable[[], None]) -> None:
    """Run every step of a tear-down, even after one failed; raises InfraError with all failures."""
    problems = []
    for step in steps:
        try:
            step()
        except HarnessError as error:
            problems.append(str(error))
    if problems:
        raise InfraError(f"{who}: {'; '.join(problems)}")


def pages_per_second(target: Target, site: Site, *copies: str) -> float:
    """Pages a second of the `dd` commands `copies` (without bs and count) together, from dd's own figures.

    dd copies a page at a time, like a page-in. In blocks of 1 MiB the same disk moves ten to fifty times as many pages,
    a rate that no load of single pages could reach. Raises InfraError if dd prints no figures.
    """
    # --foreground: signal dd alone; a second signal, to the group, can end dd before it prints its figures.
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
