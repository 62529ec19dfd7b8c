"""The state folder: files that live only as long as a run, and whether that run is alive.

| path below the state folder | what it is |
| --- | --- |
| `r/<6 hex>/` | one run; short, because the paths of sockets below it are limited |
| `r/<6 hex>/owner` | locked for as long as the run's process lives; identifies it |
| `r/<6 hex>/obligations.jsonl` | see `obligations` |
| `r/.new-<6 hex>/` | a run that is being made; renamed once its owner holds the lock |
| `r/.guard` | locked while runs are made, and while half-made ones are removed |
| `sandboxes/`, `ports/` | see `sandboxes` and `ports` |
| `switches/` | see `guests.owners_switch` |
| `leases/` | see `guests.lease`; elsewhere if all users of a machine share one queue |
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from harness.model.errors import HostEnvironmentError
from harness.model.settings import Settings
from harness.state.locks import explained, guard, is_locked, this_process, try_lock, write_record
from harness.state.obligations import owed

# The longest path below a run's folder, sockets of libvirt's embedded driver included.
SOCKET_HEADROOM = 60
# sizeof(sun_path) is 108 in Linux, and libraries need the terminating NUL in it (unix(7)).
SOCKET_LIMIT = 107
OWNER = "owner"
GUARD = ".guard"
HALF_MADE = ".new-"
RUN_NAME = re.compile(r"[0-9a-f]{6}")
# Characters that are special in QEMU's options, in libvirt's URIs or in a shell.
_AWKWARD = re.compile(r"""[\x00-\x20\x7f,;:"'`\\%&#?$*=]""")
_OPTIONS = "--harness-state or HARNESS_STATE"


@dataclass(frozen=True, slots=True)
class StateDir:
    """A state folder; nothing is made before it is needed.

    `queue` is the folder of the memory queue for all users of this machine; if None, it is a folder of this one.
    """

    path: Path
    queue: Path | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", self.path.absolute())

    @classmethod
    def of(cls, settings: Settings) -> StateDir:
        """The state folder and the queue that `settings` name."""
        return cls(settings.state, queue=settings.leases)

    def check(self) -> None:
        """Raise HostEnvironmentError if sockets of a run would not fit below this folder's path."""
        if awkward := _AWKWARD.search(str(self.path)):
            problem = f"the state folder's path {str(self.path)!a} has {awkward[0]!a} in it, which QEMU cannot take"
            raise HostEnvironmentError(problem, remedy=f"choose another one with {_OPTIONS}")
        length = len(os.fsencode(self.path))
        limit = SOCKET_LIMIT - SOCKET_HEADROOM - len("/r/123456")
        if length > limit:
            problem = f"the state folder's path {self.path} has {length} bytes, sockets below it allow {limit}"
            raise HostEnvironmentError(problem, remedy=f"choose a shorter one with {_OPTIONS}")

    def folder(self, name: str) -> Path:
        """The folder `name` below the state folder, made if need be, with the permissions of the state folder."""
        path = self.path / name
        with explained(self.path):
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            with suppress(FileExistsError):
                path.mkdir()
                path.chmod(stat.S_IMODE(self.path.stat().st_mode))
            if not path.is_dir():
                raise FileExistsError(None, None, str(path))
        return path

    @property
    def leases(self) -> Path:
        """The folder of the queue for memory; it may not be there yet."""
        return self.queue or self.path / "leases"

    def make_leases(self) -> Path:
        """The same, made if need be; a queue of the whole machine is open to everybody, as /tmp is."""
        if self.queue is None:
            return self.folder("leases")
        with explained(self.queue), suppress(FileExistsError):
            self.queue.mkdir()
            self.queue.chmod(0o1777)
        return self.queue

    def runs(self) -> list[Path]:
        """The folders of all runs, dead or alive."""
        return [path for path in self._entries() if RUN_NAME.fullmatch(path.name)]

    def half_made(self) -> list[Path]:
        """Folders of runs that are being made, or were when their process died."""
        return [path for path in self._entries() if path.name.startswith(HALF_MADE)]

    def _entries(self) -> list[Path]:
        folder = self.path / "r"
        with explained(folder):
            entries = sorted(folder.iterdir()) if folder.is_dir() else []
            return [path for path in entries if path.is_dir() and not path.is_symlink()]

    @contextmanager
    def making_runs(self) -> Iterator[Path]:
        """Hold the guard: nobody else makes a run, or removes a half-made one. Yields `<state>/r`."""
        folder = self.folder("r")
        with explained(folder), guard(folder / GUARD):
            yield folder

    def open_run(self) -> RunDir:
        """Make a run's folder and own it until it is closed or this process ends.

        Raises HostEnvironmentError if the path is too long for sockets, or the folder cannot be made.
        """
        self.check()
        with self.making_runs() as folder:
            path = _free_name(folder)
            draft = folder / f"{HALF_MADE}{path.name}"
            draft.mkdir(mode=0o700)
            try:
                descriptor = _own(draft, path)
            except BaseException:
                shutil.rmtree(draft, ignore_errors=True)
                raise
            draft.rename(path)
        return RunDir(path=path, descriptor=descriptor)


def _free_name(folder: Path) -> Path:
    while True:
        path = folder / secrets.token_hex(3)
        if not os.path.lexists(path):
            return path


def _own(draft: Path, path: Path) -> int:
    descriptor = try_lock(draft / OWNER, create=True)
    assert descriptor is not None, "nobody else knows this name"
    try:
        write_record(descriptor, {**this_process(), "path": str(path)})
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@dataclass(slots=True, kw_only=True)
class RunDir:
    """A run's folder, owned by this process until `close`."""

    path: Path
    descriptor: int = field(repr=False)

    @staticmethod
    def alive(path: Path) -> bool:
        """Whether the process that owns the run at `path` lives."""
        return is_locked(path / OWNER)

    @property
    def name(self) -> str:
        """The run's name, six hexadecimal digits."""
        return self.path.name

    def close(self) -> bool:
        """Give up the run and remove its folder, unless something is still owed; returns whether it was removed.

        Obligations are found only through this folder, so it then stays for the reaper.
        """
        if self.descriptor < 0:
            return not self.path.exists()
        try:
            with suppress(OSError):
                if not owed(self.path):
                    remove_run(self.path)
            return not self.path.exists()
        finally:
            os.close(self.descriptor)
            self.descriptor = -1

    def __enter__(self) -> RunDir:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def remove_run(path: Path) -> None:
    """Remove a run's folder, its owner file last, so that an interrupted removal can be resumed.

    Its owner's lock must be held. Raises OSError if something cannot be removed.
    """
    for entry in path.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != OWNER:
            entry.unlink(missing_ok=True)
    (path / OWNER).unlink(missing_ok=True)
    try:
        path.rmdir()
    except OSError as error:
        # Between the last two steps a reaper may have put a new owner file there to claim the rest.
        if error.errno not in (errno.ENOTEMPTY, errno.ENOENT):
            raise
