"""Lock files, which a process holds for as long as it lives, and the records of their holders.

The locks are flock(2) locks: the kernel gives them back when the last descriptor is closed, so a `kill -9` releases
them, and no pid has to be trusted. Descriptors are close-on-exec: no child holds one by accident.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from harness.model.clock import Deadline
from harness.model.errors import HostEnvironmentError, InfraError

# Nobody holds a guard for longer than a few file operations; longer means a stopped process.
GUARD_SECONDS = 30.0
POLL_S = 0.5
_RECORD_LIMIT = 64 * 1024


def try_lock(path: Path, *, create: bool = False, shared: bool = False) -> int | None:
    """A descriptor that holds the lock of `path`, or None while another process holds it.

    Closing the descriptor gives the lock back. Raises FileNotFoundError if the file does not exist and `create` is not
    set.
    """
    while True:
        descriptor = _open(path, os.O_CREAT if create else 0)
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        # Between open and lock, the last holder may have removed the file: then this lock protects nothing.
        if is_file_of(descriptor, path):
            return descriptor
        os.close(descriptor)


def _open(path: Path, flags: int) -> int:
    flags |= os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, os.O_RDWR | flags, 0o644)
    except PermissionError:
        # Another user's file in a shared state folder: it can be locked without being writable. O_CREAT is dropped
        # because of fs.protected_regular (proc_sys_fs(5)).
        return os.open(path, os.O_RDONLY | (flags & ~os.O_CREAT))


def is_file_of(descriptor: int, path: Path) -> bool:
    """Whether `path` still leads to the file that is open as `descriptor`."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock of `path`; a missing file is not locked.

    A file in another user's private folder counts as locked, since it cannot be examined.
    """
    try:
        descriptor = try_lock(path, shared=True)
    except PermissionError:
        return True
    except (FileNotFoundError, NotADirectoryError):
        return False
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


@contextmanager
def guard(path: Path) -> Iterator[None]:
    """Hold the lock of `path` for a few file operations; raises InfraError if it cannot be had."""
    deadline = Deadline.after(GUARD_SECONDS)
    while (descriptor := try_lock(path, create=True)) is None:
        if deadline.passed:
            raise InfraError(f"{path}: a process holds this lock for {GUARD_SECONDS:.0f} s and does not move on")
        deadline.clock.sleep(0.01)
    try:
        yield
    finally:
        os.close(descriptor)


@contextmanager
def held(path: Path, what: str, purpose: str, deadline: Deadline, on_wait: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of `path` for the body; wait for the process that has it.

    `what` names in a message what the lock stands for. Raises InfraError when the deadline passes.
    """
    descriptor = _wait(path, what, deadline, on_wait)
    try:
        write_record(descriptor, {**this_process(), "purpose": purpose})
        yield
    finally:
        os.close(descriptor)


def _wait(path: Path, what: str, deadline: Deadline, on_wait: Callable[[str], None]) -> int:
    said = ""
    while True:
        with explained(path):
            descriptor = try_lock(path, create=True)
        if descriptor is not None:
            return descriptor
        record = read_record(path)
        reason = f"{what} is in use by {describe(record)}"
        if purpose := record.get("purpose"):
            reason += f" for {purpose}"
        if deadline.passed:
            raise InfraError(f"{reason}, and did not become free in time")
        if reason != said:
            on_wait(f"waiting: {reason}")
            said = reason
        deadline.clock.sleep(POLL_S)


def write_record(descriptor: int, record: Mapping[str, Any]) -> None:
    """Replace the contents of a locked file with a record."""
    data = json.dumps(record, ensure_ascii=True).encode() + b"\n"
    written = os.pwrite(descriptor, data, 0)
    if written != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.ftruncate(descriptor, len(data))


def read_record(path: Path) -> dict[str, Any]:
    """The record in a lock file; {} if the file is missing or was not written completely."""
    try:
        with path.open("rb") as file:
            record = json.loads(file.read(_RECORD_LIMIT))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def this_process() -> dict[str, Any]:
    """The record of this process: pid, start in seconds since the epoch, command line."""
    me = psutil.Process()
    return {"pid": me.pid, "started": me.create_time(), "argv": list(sys.orig_argv)}


def describe(record: Mapping[str, Any]) -> str:
    """The holder of a record, for a message: `pid 123 (pytest -n 2)`."""
    argv = record.get("argv")
    command = shlex.join(str(arg) for arg in argv) if isinstance(argv, list) else ""
    command = "".join(char if char.isprintable() else "?" for char in command)
    command = command if len(command) <= 80 else command[:77] + "..."
    return f"pid {record.get('pid', '?')}" + (f" ({command})" if command else "")


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an OSError about something in the state folder into one line with the way out."""
    try:
        yield
    except OSError as error:
        where = error.filename if isinstance(error.filename, str) else str(path)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            problem, remedy = f"no space left on device for {where}", "free some, or "
        elif isinstance(error, FileExistsError | NotADirectoryError):
            problem, remedy = f"{where} is in the way: the state folder needs a folder there", "remove it, or "
        else:
            problem, remedy = f"the state folder cannot be used: {where}: {error.strerror or error}", ""
        remedy += "choose another folder with --harness-state or HARNESS_STATE"
        raise HostEnvironmentError(problem, remedy=remedy) from error
