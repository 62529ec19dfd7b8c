"""Removal of what dead runs left: things that they owed, overlays, sockets, reservations.

A run is dead when no process holds the lock of its owner file. The process that takes that lock does the removal, so
two reapers never work on the same run, and a live one is never touched.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.model.clock import SYSTEM_CLOCK, Clock
from harness.model.obligation import Obligation
from harness.state import ports, sandboxes
from harness.state.locks import describe, read_record, try_lock
from harness.state.obligations import owed
from harness.state.state import OWNER, RunDir, StateDir, remove_run

# Meets an obligation of a dead run; a line for each thing that it ended. A thing that is gone already is ignored. If it
# raises, the run's folder is kept for the next try.
Meet = Callable[[Obligation], list[str]]

_CLAIMS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """A run's folder and its owner; `started` in seconds since the epoch, None if it was not recorded."""

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


def reap(state: StateDir, meet: Meet, *, clock: Clock = SYSTEM_CLOCK) -> list[str]:
    """Remove what dead runs left; one line for each thing.

    A line with `kept` names what could not be removed, and why; the next call tries again.
    """
    lines: list[str] = []
    for path in state.runs():
        lines += _reap_run(path, meet, clock)
    return lines + _remove_half_made(state) + sandboxes.remove_dead(state) + ports.remove_dead(state)


def _reap_run(path: Path, meet: Meet, clock: Clock) -> list[str]:
    descriptor = _claim(path, clock)
    if descriptor is None:
        return []
    try:
        return [f"run {path.name}: {line}" for line in _clear(path, meet)]
    finally:
        os.close(descriptor)


def _claim(path: Path, clock: Clock) -> int | None:
    """The lock of a dead run's owner file, or None if the run lives, is another user's or is gone."""
    for _ in range(_CLAIMS):
        try:
            # A folder without an owner file was left by a removal that was cut short.
            descriptor = try_lock(path / OWNER, create=True)
        except OSError:
            return None
        if descriptor is not None:
            return descriptor
        clock.sleep(0.01)  # perhaps only `RunDir.alive` held it for a moment
    return None


def _clear(path: Path, meet: Meet) -> list[str]:
    removed, kept = _meet_all(path, meet)
    if kept:
        return [*removed, *(f"kept {path}: {reason}" for reason in kept)]
    owner = describe(read_record(path / OWNER))
    try:
        remove_run(path)
    except OSError as error:
        return [*removed, f"kept {path}: {error}"]
    return [*removed, f"removed {path}, left by {owner}"]


def _meet_all(path: Path, meet: Meet) -> tuple[list[str], list[str]]:
    """Lines for what was ended, and reasons for what was not."""
    ended: list[str] = []
    kept: list[str] = []
    for obligation in owed(path):
        try:
            ended += meet(obligation)
        except Exception as error:  # whatever a provider's library raises: the other obligations must still be met
            kept.append(str(error))
    return ended, kept


def _remove_half_made(state: StateDir) -> list[str]:
    if not state.half_made():
        return []
    lines = []
    with state.making_runs():  # no run is being made now: half-made ones were left by dead processes
        for path in state.half_made():
            shutil.rmtree(path, ignore_errors=True)
            lines.append(f"run {path.name}: removed {path}, which was never finished")
    return lines
