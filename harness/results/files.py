"""Atomic writes, file locks, and one clear error line when the disk is full."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.model.errors import HostEnvironmentError, UsageError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class DamagedResult(UsageError):
    """The file `path` of a run is not as the harness wrote it; `problem` says how."""

    def __init__(self, *, path: Path, problem: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"{path}: damaged: {problem}; restore it, or remove it and run the case again")


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn an OSError while writing `path` into one HostEnvironmentError that names it and the way out."""
    try:
        yield
    except OSError as error:
        remedy = "choose a results folder that this user can write to"
        if error.errno in _FULL:
            remedy = f"free some space (see `df -h {path.parent}`) or choose another results folder"
        reason = error.strerror or type(error).__name__
        raise HostEnvironmentError(f"cannot write {path}: {reason}", remedy=remedy) from error


def write_atomic(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Replace `path` by `content`, whole or not at all, also across a kill or a full disk.

    Raises HostEnvironmentError.
    """
    with disk_errors(path):
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(mode)  # mkstemp makes it private, but others read results
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Replace `path` by `record` as indented ASCII JSON; see `write_atomic`."""
    text = json.dumps(record, indent=2, ensure_ascii=True, default=str)
    write_atomic(path, text.encode("ascii") + b"\n")


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; raises DamagedResult if it is not one, FileNotFoundError if `path` is missing."""
    try:
        record = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DamagedResult(path=path, problem=f"not JSON ({error})") from error
    if not isinstance(record, dict):
        raise DamagedResult(path=path, problem="not a JSON object")
    return record


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the exclusive lock file `path`; the lock ends with the process, even after a kill."""
    with contextlib.ExitStack() as stack:
        with disk_errors(path):
            file = stack.enter_context(path.open("ab"))
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
