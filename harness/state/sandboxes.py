"""Sandboxes: guests for manual work, which outlive the command that started them; `sandboxes/<name>/` is one.

| file | what it is |
| --- | --- |
| `owner` | locked for as long as the sandbox's supervisor lives; identifies it |
| `sandbox.json` | the supervisor and its hosts, once they are up (`Sandbox.read`) |
| `log` | output of the supervisor |
| `ssh_config`, `known_hosts` | how to log in to its hosts |
| `<host>.console` | what a host printed on its serial console |
| `<host>.port` | unix socket: the console itself |
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.model.clock import SYSTEM_CLOCK
from harness.model.errors import UsageError
from harness.state.locks import (
    describe,
    explained,
    guard,
    is_file_of,
    is_locked,
    read_record,
    this_process,
    try_lock,
    write_record,
)
from harness.state.state import GUARD, OWNER, StateDir

FOLDER = "sandboxes"
_CLAIMS = 3


@dataclass(frozen=True, slots=True)
class Sandbox:
    """The folder of one sandbox, whether its supervisor is alive or dead."""

    path: Path

    @property
    def name(self) -> str:
        """Its name, the same as that of its topology."""
        return self.path.name

    @property
    def alive(self) -> bool:
        """Whether its supervisor lives."""
        return is_locked(self.path / OWNER)

    @property
    def owner(self) -> str:
        """Its supervisor, for a message."""
        return describe(self.owner_record)

    @property
    def owner_record(self) -> dict[str, Any]:
        """Its supervisor, as of `locks.this_process`."""
        return read_record(self.path / OWNER)

    @property
    def log(self) -> Path:
        """The output of its supervisor."""
        return self.path / "log"

    @property
    def ssh_config(self) -> Path:
        """The configuration for ssh(1), for all of its hosts."""
        return self.path / "ssh_config"

    @property
    def known_hosts(self) -> Path:
        """The keys that its hosts show."""
        return self.path / "known_hosts"

    def console(self, host: str) -> Path:
        """A host's output on its serial console; see `drivers.serial.bounded_file.BoundedFile`."""
        return self.path / f"{host}.console"

    def port(self, host: str) -> Path:
        """The socket of a host's serial console."""
        return self.path / f"{host}.port"

    def read(self) -> dict[str, Any]:
        """The supervisor's record of itself and its hosts; {} until all of them are up."""
        return read_record(self.path / "sandbox.json")

    def write(self, record: Mapping[str, Any]) -> None:
        """Write the record of the supervisor and its hosts, atomically."""
        draft = self.path / "sandbox.json.new"
        with explained(self.path):
            draft.write_text(json.dumps({**this_process(), **record}, indent=2) + "\n", encoding="utf-8")
            draft.replace(self.path / "sandbox.json")


def sandboxes(state: StateDir, *, alive: bool = True) -> list[Sandbox]:
    """The sandboxes with a live supervisor, or with `alive` false those with a dead one, sorted by name."""
    folder = state.path / FOLDER
    with explained(folder):
        entries = sorted(folder.iterdir()) if folder.is_dir() else []
    found = [Sandbox(entry) for entry in entries if entry.is_dir() and not entry.is_symlink()]
    return [sandbox for sandbox in found if sandbox.alive is alive]


def create(state: StateDir, name: str) -> tuple[Sandbox, int]:
    """Make the folder of a sandbox; its lock is held until the last process closes the descriptor.

    Files of a dead supervisor of that name are removed. Raises UsageError if a live one has the name, and
    HostEnvironmentError if the folder cannot be made.
    """
    state.check()
    with _guarded(state) as folder:
        sandbox = Sandbox(folder / name)
        with explained(sandbox.path):
            sandbox.path.mkdir(mode=0o700, exist_ok=True)
            descriptor = _claim(sandbox.path / OWNER)
            if descriptor is None:
                raise taken(sandbox)
            _empty(sandbox.path)
            write_record(descriptor, this_process())
    return sandbox, descriptor


def taken(sandbox: Sandbox) -> UsageError:
    """The error for a request to create a sandbox that is already up."""
    return UsageError(f"{sandbox.name!r} is up already ({sandbox.owner}); `harness down {sandbox.name}` ends it")


def remove(state: StateDir, sandbox: Sandbox, descriptor: int) -> None:
    """Remove the folder of a sandbox and give its lock back; never raises if the folder is already gone."""
    with _guarded(state):
        if is_file_of(descriptor, sandbox.path / OWNER):
            shutil.rmtree(sandbox.path, ignore_errors=True)
    os.close(descriptor)


def remove_dead(state: StateDir) -> list[str]:
    """Remove the folders of sandboxes whose supervisors are dead; one line for each."""
    if not (state.path / FOLDER).is_dir():
        return []
    lines = []
    with _guarded(state):
        for sandbox in sandboxes(state, alive=False):
            lines.append(f"sandbox {sandbox.name}: removed {sandbox.path}, left by {sandbox.owner}")
            shutil.rmtree(sandbox.path, ignore_errors=True)
    return lines


def _claim(owner: Path) -> int | None:
    for _ in range(_CLAIMS):
        descriptor = try_lock(owner, create=True)
        if descriptor is not None:
            return descriptor
        SYSTEM_CLOCK.sleep(0.01)  # perhaps only `Sandbox.alive` held it for a moment
    return None


def _empty(path: Path) -> None:
    for entry in path.iterdir():
        if entry.name != OWNER:
            entry.unlink()


@contextmanager
def _guarded(state: StateDir) -> Iterator[Path]:
    folder = state.folder(FOLDER)
    with explained(folder), guard(folder / GUARD):
        yield folder
