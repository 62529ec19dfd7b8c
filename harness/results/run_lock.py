"""Locks of a run's folder: every process of a run holds one, so that a run that is going on cannot be resumed."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from harness.model.errors import UsageError
from harness.results.files import disk_errors

# xdist's workers end themselves at most 15 s after their controller died (execnet: WorkerGateway, 5 s + 10 s); a child
# session ends its guests and writes its report first.
ORPHANS_S = 60.0
_PROCESSES, _RESUMER = ".processes.lock", ".resumer.lock"


def join(run: Path) -> IO[bytes]:
    """Mark the folder `run` as in use by this process, until the returned file is closed."""
    file = _opened(run / _PROCESSES)
    fcntl.flock(file, fcntl.LOCK_SH)
    return file


def take_over(
    run: Path, *, patience_s: float = ORPHANS_S, on_wait: Callable[[str], None] = lambda line: None
) -> IO[bytes]:
    """Wait until no process works in `run`, and claim it until the returned file is closed.

    `on_wait` is called once if there is a process to wait for. Raises UsageError if another process has claimed the
    run, or still works there after `patience_s` seconds.
    """
    claim = _opened(run / _RESUMER)
    with _opened(run / _PROCESSES) as others:
        if not (_try(claim) and (_try(others) or _wait(others, patience_s, on_wait))):
            claim.close()
            raise UsageError(f"{run}: this run is going on; wait until it ends, or end it")
    return claim


def _opened(path: Path) -> IO[bytes]:
    with disk_errors(path):
        return path.open("ab")


def _try(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait(file: IO[bytes], patience_s: float, on_wait: Callable[[str], None]) -> bool:
    on_wait(f"waiting up to {patience_s:.0f} s for processes of this run to end")
    end = time.monotonic() + patience_s
    while not _try(file):
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True
