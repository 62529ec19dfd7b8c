"""Eviction of large cache entries: kept within a budget, least recently used first, none that is in use.

An entry is in use while a process holds a shared lock on its file `used`; the time of that file is that of the last
use.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from harness.artifacts.cache import MANIFEST, Cache, read_manifest
from harness.model.clock import SYSTEM_CLOCK
from harness.state.locks import try_lock

USED = "used"


def hold(find: Callable[[], Path]) -> tuple[Path, int]:
    """The entry that `find` finds or builds, and a descriptor: the entry is in use until that is closed."""
    while True:
        entry = find()
        with suppress(FileNotFoundError):  # the entry was removed in between
            if (held := try_lock(entry / USED, create=True, shared=True)) is not None:
                with suppress(OSError):
                    os.utime(entry / USED)
                return entry, held
        SYSTEM_CLOCK.sleep(0.01)


def keep_within(cache: Cache, kind: str, budget: int) -> list[Path]:
    """Remove entries of a kind until all are within `budget` bytes; returns those removed."""
    entries = sorted((entry for entry in cache.entries() if entry.parent.name == kind), key=_last_used)
    sizes = {entry: _size(entry) for entry in entries}
    total, removed = sum(sizes.values()), []
    for entry in entries:
        if total <= budget:
            break
        if remove(cache, entry):
            total -= sizes[entry]
            removed.append(entry)
    return removed


def remove(cache: Cache, entry: Path) -> bool:
    """Remove an entry; False while it is in use."""
    try:
        held = try_lock(entry / USED, create=True)
    except FileNotFoundError:
        return True
    if held is None:
        return False
    try:
        cache.remove(entry)
    finally:
        os.close(held)
    return True


def _last_used(entry: Path) -> float:
    for name in (USED, MANIFEST):
        with suppress(OSError):
            return (entry / name).stat().st_mtime
    return 0.0


def _size(entry: Path) -> int:
    try:
        return sum(int(record.get("size", 0)) for record in read_manifest(entry)["files"].values())
    except (OSError, ValueError, KeyError):
        return 0
