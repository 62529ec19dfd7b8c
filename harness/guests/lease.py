"""Leases of this machine's memory: concurrent topologies wait for each other instead of swapping.

Every request is a locked file `<number>.lease` in one folder for all users of the machine. Requests are numbered and
granted in the order of asking, so that a large one is not overtaken for ever. A request whose process is dead holds no
lock any more, and does not count.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from harness.model.clock import Deadline
from harness.model.errors import HostEnvironmentError, InfraError
from harness.model.settings import Settings
from harness.model.sizes import format_size
from harness.model.topology import Topology
from harness.state.locks import describe, explained, guard, read_record, this_process, try_lock, write_record
from harness.state.state import GUARD, StateDir

LEASE_S = 4 * 3600.0
QEMU_OVERHEAD = 1.3  # factor on a guest's memory, for QEMU's own
# The rest is for the harness itself, for QEMU's own memory and for other programs.
SHARE_FOR_GUESTS = 0.8
_POLL_SECONDS = 0.25
_SUFFIX = ".lease"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A request for `memory` bytes, for `purpose`; `holder` is the asking process, `budget` the limit applied to it."""

    number: int
    memory: int
    budget: int
    purpose: str
    granted: bool
    holder: str = field(compare=False)

    def __str__(self) -> str:
        verb = "holds" if self.granted else "waits for"
        return f"{self.holder} {verb} {format_size(self.memory)}" + (f" for {self.purpose}" if self.purpose else "")


def default_budget(state: StateDir, *, available: int) -> int:
    """Bytes that guests may use together; `available` is what this machine has available now (MemAvailable).

    While leases are held, the budget of the first of them applies: the memory that its guests use is already missing
    from `available`, and would be counted twice.
    """
    granted = [lease for lease in leases(state) if lease.granted]
    return granted[0].budget if granted else int(available * SHARE_FOR_GUESTS)


def leases(state: StateDir) -> list[Lease]:
    """Requests of living processes, granted or waiting, in the order of asking."""
    if not state.leases.is_dir():
        return []
    with _guarded(state) as folder:
        return _living(folder)


def memory_of(topology: Topology) -> int:
    """Bytes that the guests of `topology` take, QEMU's own included."""
    return int(topology.memory * QEMU_OVERHEAD)


def lease_for(
    topology: Topology, settings: Settings, *, purpose: str, on_wait: Callable[[str], None]
) -> AbstractContextManager[Lease]:
    """Hold the memory of the guests of `topology` for the body, within what is available now; see `acquire`."""
    state = StateDir.of(settings)
    return acquire(
        state,
        memory=memory_of(topology),
        budget=default_budget(state, available=psutil.virtual_memory().available),
        deadline=Deadline.after(LEASE_S),
        on_wait=on_wait,
        purpose=purpose,
    )


@contextmanager
def acquire(
    state: StateDir,
    *,
    memory: int,
    budget: int,
    deadline: Deadline,
    on_wait: Callable[[str], None],
    purpose: str = "",
) -> Iterator[Lease]:
    """Hold `memory` bytes of `budget` for the body; wait for earlier requests, until `deadline`.

    `on_wait` gets one line that names the processes it waits for, and another one whenever they change. A process that
    asks again while it holds a lease waits for itself: ask once, for all hosts of a topology. Raises
    HostEnvironmentError if `memory` is more than `budget`. Raises InfraError, which says who holds what, when the
    deadline passes.
    """
    if memory > budget:
        problem = f"{purpose or 'this topology'} needs {format_size(memory)} of memory"
        remedy = "give its hosts less memory in the inventory, or free some here"
        raise HostEnvironmentError(f"{problem}, guests may use {format_size(budget)} here", remedy=remedy)
    request = _ask(state, {"memory": memory, "budget": budget, "purpose": purpose, "granted": False})
    try:
        yield _granted(state, request, deadline, on_wait)
    finally:
        request.withdraw()


@dataclass(frozen=True, slots=True)
class _Request:
    path: Path
    descriptor: int
    record: dict[str, Any]

    def withdraw(self) -> None:
        with suppress(OSError):
            self.path.unlink(missing_ok=True)
        os.close(self.descriptor)


@contextmanager
def _guarded(state: StateDir) -> Iterator[Path]:
    folder = state.make_leases()
    with explained(folder), guard(folder / GUARD):
        yield folder


def _ask(state: StateDir, asked: dict[str, Any]) -> _Request:
    with _guarded(state) as folder:
        number = max((lease.number for lease in _living(folder)), default=0) + 1
        path = folder / f"{number:06d}{_SUFFIX}"
        path.unlink(missing_ok=True)
        descriptor = try_lock(path, create=True)
        assert descriptor is not None, "the guard keeps others from this number"
        request = _Request(path, descriptor, {**this_process(), **asked})
        try:
            write_record(descriptor, request.record)
        except BaseException:
            request.withdraw()
            raise
    return request


def _granted(state: StateDir, request: _Request, deadline: Deadline, on_wait: Callable[[str], None]) -> Lease:
    said, mine = "", _lease(request.path, request.record)
    while True:
        with _guarded(state) as folder:
            ahead = _in_the_way(mine, _living(folder))
            if not ahead:
                write_record(request.descriptor, {**request.record, "granted": True})
                return _lease(request.path, {**request.record, "granted": True})
        reason = "; ".join(str(lease) for lease in ahead) + f"; all may use {format_size(mine.budget)}"
        if deadline.passed:
            raise InfraError(f"no {format_size(mine.memory)} of memory became free in time: {reason}")
        if reason != said:
            on_wait(f"waiting for {format_size(mine.memory)} of memory: {reason}")
            said = reason
        deadline.clock.sleep(min(_POLL_SECONDS, max(0.01, deadline.remaining)))


def _in_the_way(mine: Lease, living: list[Lease]) -> list[Lease]:
    holders = [lease for lease in living if lease.granted]
    waiting = [lease for lease in living if not lease.granted and lease.number < mine.number]
    if waiting or sum(lease.memory for lease in holders) + mine.memory > mine.budget:
        return holders + waiting
    return []


def _living(folder: Path) -> list[Lease]:
    """The requests in `folder` whose processes live; the guard must be held."""
    found = [_lease(path, read_record(path)) for path in _files(folder) if not _is_dead(path)]
    return sorted(found, key=lambda lease: lease.number)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*" + _SUFFIX) if path.stem.isdecimal())


def _is_dead(path: Path) -> bool:
    try:
        descriptor = try_lock(path)
    except FileNotFoundError:
        return True
    if descriptor is None:
        return False
    # the removal is only tidiness: in a shared state folder it may be another user's file
    with suppress(OSError):
        path.unlink(missing_ok=True)
    os.close(descriptor)
    return True


def remove_dead(state: StateDir) -> list[str]:
    """Remove what dead processes left in the queue; one line for each."""
    if not state.leases.is_dir():
        return []
    with _guarded(state) as folder:
        records = [(path, read_record(path)) for path in _files(folder)]
        return [f"lease: {_lease(path, record).holder} is dead" for path, record in records if _is_dead(path)]


def _lease(path: Path, record: dict[str, Any]) -> Lease:
    return Lease(
        number=int(path.stem),
        memory=int(record.get("memory", 0)),
        budget=int(record.get("budget", 0)),
        purpose=str(record.get("purpose", "")),
        granted=bool(record.get("granted", False)),
        holder=describe(record),
    )
