"""Find and remove what dead runs left: guests, switches, overlays, sockets, reservations.

A run is dead when nobody holds the lock of its owner file. Whoever takes that lock does the removal, so two
reapers never work on the same run, and a live one is never touched.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from harness.model.clock import SYSTEM_CLOCK, Clock
from harness.state import lease, ports, processes, sandboxes
from harness.state.domains import Domain, noted
from harness.state.locks import describe, read_record, try_lock
from harness.state.state import OWNER, RunDir, StateDir, remove_run

# Given a dead run's folder and the domains it noted, destroys and undefines them. Domains that are gone already
# are no error; what it raises keeps the run's folder for the next try.
HypervisorCleanup = Callable[[Path, tuple[Domain, ...]], None]

_CLAIMS = 3
_ROUNDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """A run's folder and who owns it; `started` in seconds since the epoch, None if nobody wrote it down."""

    path: Path
    alive: bool
    owner: str
    started: float | None


def status(state: StateDir) -> list[RunStatus]:
    """Every run in the state folder, living or dead."""
    return [_status(path) for path in state.runs()]


def _status(path: Path) -> RunStatus:
    record = read_record(path / OWNER)
    return RunStatus(path=path, alive=RunDir.alive(path), owner=describe(record), started=record.get("started"))


def reap(
    state: StateDir, *, hypervisor_cleanup: HypervisorCleanup | None = None, clock: Clock = SYSTEM_CLOCK
) -> list[str]:
    """Remove what dead runs left; one line for each thing.

    A line with `kept` names what could not be removed, and why; the next call tries again. Without
    `hypervisor_cleanup`, a run that noted domains of a libvirt daemon is kept.
    """
    lines: list[str] = []
    for path in state.runs():
        lines += _reap_run(path, hypervisor_cleanup, clock)
    lines += _remove_half_made(state) + sandboxes.remove_dead(state)
    return lines + lease.remove_dead(state) + ports.remove_dead(state)


def _reap_run(path: Path, cleanup: HypervisorCleanup | None, clock: Clock) -> list[str]:
    descriptor = _claim(path, clock)
    if descriptor is None:
        return []
    try:
        return [f"run {path.name}: {line}" for line in _clear(path, cleanup, clock)]
    finally:
        os.close(descriptor)


def _claim(path: Path, clock: Clock) -> int | None:
    """The lock of a dead run's owner file, or None if the run lives, is another user's or is gone."""
    for _ in range(_CLAIMS):
        try:
            # A folder without an owner file is the rest of a removal that was cut short.
            descriptor = try_lock(path / OWNER, create=True)
        except OSError:
            return None
        if descriptor is not None:
            return descriptor
        clock.sleep(0.01)  # perhaps only `RunDir.alive` looked
    return None


def _clear(path: Path, cleanup: HypervisorCleanup | None, clock: Clock) -> list[str]:
    removed, kept = _destroy_domains(path, cleanup)
    ended, survivors = _end_processes(path, clock)
    kept += survivors
    if kept:
        return [*removed, *ended, *(f"kept {path}: {reason}" for reason in kept)]
    owner = describe(read_record(path / OWNER))
    try:
        remove_run(path)
    except OSError as error:
        return [*removed, *ended, f"kept {path}: {error}"]
    return [*removed, *ended, f"removed {path}, left by {owner}"]


def _destroy_domains(path: Path, cleanup: HypervisorCleanup | None) -> tuple[list[str], list[str]]:
    """What was removed, and why something was not."""
    domains = noted(path)
    if cleanup is None:
        asked = [domain for domain in domains if not domain.is_embedded]
        return [], [f"nobody here to ask {domain.uri} for domain {domain.uuid}" for domain in asked]
    if not domains:
        return [], []
    try:
        cleanup(path, domains)
    except Exception as error:  # whatever a hypervisor's library raises, the other runs are still to be cleared
        return [], [f"the hypervisor did not remove its domains: {error}"]
    return [f"removed domain {domain.uuid} of {domain.uri}" for domain in domains], []


def _end_processes(path: Path, clock: Clock) -> tuple[list[str], list[str]]:
    """What was ended, and what did not end."""
    ended: list[str] = []
    for _ in range(_ROUNDS):  # a process may have started another one while it was being ended
        found = _processes(path)
        rest = processes.end(found, clock)
        ended += [f"ended {_title(process)}" for process in found if process not in rest]
        if rest or not found:
            break
    return ended, [f"{_title(process)} does not end" for process in rest]


def _processes(path: Path) -> list[psutil.Process]:
    return processes.helpers_of(_spellings(path), {os.geteuid(), path.stat().st_uid})


def _spellings(path: Path) -> set[str]:
    """Ways to write a run's folder: ours, the run's own, and without symbolic links."""
    spellings = {str(path), str(path.resolve())}
    recorded = read_record(path / OWNER).get("path")
    # In a copy of a state folder the record leads to the original, which may be alive.
    with suppress(OSError):
        if isinstance(recorded, str) and Path(recorded).samefile(path):
            spellings.add(recorded)
    return spellings


def _title(process: psutil.Process) -> str:
    executable = process.info.get("exe") or "?"
    return f"{Path(executable).name}, pid {process.pid}"


def _remove_half_made(state: StateDir) -> list[str]:
    if not state.half_made():
        return []
    lines = []
    with state.making_runs():  # nobody makes a run now: what is half made was left by the dead
        for path in state.half_made():
            shutil.rmtree(path, ignore_errors=True)
            lines.append(f"run {path.name}: removed {path}, which was never finished")
    return lines
