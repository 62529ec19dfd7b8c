"""A cache of things that are slow to build, with their inputs as keys.

    <root>/<kind>/<key>.<generation>/       a complete entry: its files, build.log, and manifest.json
    <root>/<kind>/.<key>.lock               held while an entry of that key is looked up or built
    <root>/<kind>/.building-<key>-*         an entry being built; dead if no process holds the lock
    <root>/logs/<kind>-<key>.log            output of a failed build

One rename makes an entry visible after all of it has reached the disk, so every visible entry is complete. A new
generation never replaces the files of an older one: a guest may still run on them.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from harness.artifacts.run_tool import CommandFailed
from harness.model.errors import HostEnvironmentError, UsageError
from harness.model.observe import Progress, Silent

MANIFEST = "manifest.json"
BUILD_LOG = "build.log"

Key = Mapping[str, Any] | bytes
Build = Callable[[Path], None]


@dataclass(frozen=True, slots=True)
class Damage:
    """A file of the cache that differs from what was built."""

    path: Path
    problem: str

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}"


class Cache:
    """The cache under `root`; waits and builds are reported to `progress`."""

    def __init__(self, root: Path, progress: Progress | None = None) -> None:
        self._root = root
        self._progress = progress or Silent()

    def get_or_build(self, kind: str, key: Key, build: Build, *, need: int = 0, refresh: bool = False) -> Path:
        """The folder of the entry for `key`; `build` fills a new folder if there is none, or on `refresh`.

        `need` is the disk space in bytes that a build takes. Raises HostEnvironmentError if there is less, or if a tool
        failed; exceptions of `build` pass through. Every error names the log of the build.
        """
        name = _name_of(key)
        with self._lock(kind, name):
            found = self._newest(kind, name)
            if found is not None and not refresh and not self._discard_damaged(found):
                return found
            self._sweep(kind, name)
            generation = _generation(found) + 1 if found is not None else 0
            final = self._root / kind / f"{name}.{generation}"
            self._build_into(final, kind, key, build, need)
            return final

    def lookup(self, kind: str, key: Key) -> Path | None:
        """The folder of the entry for `key`, or None; builds nothing, and does not check for damage."""
        return self._newest(kind, _name_of(key))

    def entries(self) -> Iterator[Path]:
        """The folders of all complete entries, every generation."""
        yield from sorted(path.parent for path in self._root.glob(f"[!.]*/[!.]*/{MANIFEST}"))

    def remove(self, entry: Path) -> None:
        """Remove one entry, once no process looks it up or builds it again."""
        with self._lock(entry.parent.name, entry.name.partition(".")[0]):
            _remove(entry)

    def verify(self) -> list[Damage]:
        """All damage in the whole cache; reads and hashes every file."""
        return [damage for entry in self.entries() for damage in find_damage(entry, contents=True)]

    def prune(self) -> int:
        """Remove all but the newest generation of every entry; returns the bytes freed. No guest may run on them."""
        freed = 0
        for entry in list(self.entries()):
            name = entry.name.partition(".")[0]
            if entry != self._newest(entry.parent.name, name):
                freed += sum(record.get("size", 0) for record in read_manifest(entry)["files"].values())
                _remove(entry)
        return freed

    def _newest(self, kind: str, name: str) -> Path | None:
        whole = (path.parent for path in (self._root / kind).glob(f"{name}.*/{MANIFEST}"))
        return max(whole, key=_generation, default=None)

    def _discard_damaged(self, entry: Path) -> bool:
        """Whether `entry` is damaged; a damaged entry is removed and reported to the user."""
        damages = find_damage(entry)
        if damages:
            self._progress.step(f"damaged: {damages[0]}; building it again")
            _remove(entry)
        return bool(damages)

    def _build_into(self, final: Path, kind: str, key: Key, build: Build, need: int) -> None:
        name = _name_of(key)
        self._check_space(final.parent, kind, need)
        folder = Path(tempfile.mkdtemp(prefix=f".building-{name}-", dir=final.parent))
        try:
            with self._blamed(kind, name, folder, need):
                build(folder)
                _write_manifest(folder, kind, key)
                _flush(folder)
                folder.chmod(0o755)
                folder.rename(final)
                _sync(final.parent)
        finally:
            _remove(folder)

    def _check_space(self, folder: Path, kind: str, need: int) -> None:
        free = shutil.disk_usage(folder).free
        if free < need:
            raise _no_space(f"to build {kind} in {folder}", free, need)

    @contextmanager
    def _blamed(self, kind: str, name: str, folder: Path, need: int) -> Iterator[None]:
        """Turn exceptions of a build into errors that say where its log is and what the user can do."""
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            free = shutil.disk_usage(folder).free
            raise _no_space(f"while building {kind} in {folder.parent}", free, need) from error
        except (CommandFailed, UsageError) as error:
            log = self._keep_log(kind, name, folder)
            raise _with_log(kind, error, log) from error

    def _keep_log(self, kind: str, name: str, folder: Path) -> Path | None:
        source, kept = folder / BUILD_LOG, self._root / "logs" / f"{kind}-{name}.log"
        if not source.exists():
            return None
        kept.parent.mkdir(exist_ok=True)
        shutil.copyfile(source, kept)
        return kept

    def _sweep(self, kind: str, held: str) -> None:
        """Remove leftovers of dead builds and removals: those that no process locks, except this call (`held`)."""
        for folder in (self._root / kind).glob(f"{held}.*"):
            if not (folder / MANIFEST).exists():
                _remove(folder)
        for folder in (self._root / kind).glob(".building-*"):
            name = folder.name.split("-")[1]
            with self._open_lock(kind, name) as lock, suppress(BlockingIOError):
                if name != held:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(folder)

    @contextmanager
    def _lock(self, kind: str, name: str) -> Iterator[None]:
        with self._open_lock(kind, name) as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._progress.step(f"waiting for another process that builds the same {kind}")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _open_lock(self, kind: str, name: str) -> Iterator[int]:
        folder = self._root / kind
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(folder / f".{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            problem = f"the cache {folder} cannot be written: {error.strerror}"
            raise HostEnvironmentError(problem, remedy="choose another with XDG_CACHE_HOME") from error
        try:
            yield handle
        finally:
            os.close(handle)


def find_damage(entry: Path, *, contents: bool = False) -> list[Damage]:
    """Files of `entry` whose size, or with `contents` whose hash, differs from the manifest."""
    try:
        files = read_manifest(entry)["files"]
    except (OSError, ValueError, KeyError) as error:
        return [Damage(entry / MANIFEST, f"unreadable: {error}")]
    damages = (_damage_of(entry / name, record, contents) for name, record in files.items())
    return [damage for damage in damages if damage is not None]


def read_manifest(entry: Path) -> dict[str, Any]:
    """The manifest of `entry`: `kind`, `key`, and per file its `size` in bytes and `sha256`, or its `link`."""
    manifest = json.loads((entry / MANIFEST).read_bytes())
    if not isinstance(manifest, dict):
        raise ValueError("not a manifest")
    return manifest


def digest_of(entry: Path) -> str:
    """One hash over all files of `entry`, in hexadecimal; the build's log does not count."""
    files = {name: record for name, record in read_manifest(entry)["files"].items() if name != BUILD_LOG}
    return sha256(_canonical(files)).hexdigest()


def _damage_of(path: Path, record: Mapping[str, Any], contents: bool) -> Damage | None:
    try:
        if "link" in record:
            return None if str(path.readlink()) == record["link"] else Damage(path, "links elsewhere")
        size = path.lstat().st_size
    except OSError as error:
        return Damage(path, error.strerror or str(error))
    if size != record["size"]:
        return Damage(path, f"{size} bytes where {record['size']} were built")
    if contents and _record_of(path)["sha256"] != record["sha256"]:
        return Damage(path, "its contents changed after it was built")
    return None


def _write_manifest(folder: Path, kind: str, key: Key) -> None:
    paths = sorted(path for path in folder.rglob("*") if path.is_symlink() or path.is_file())
    files = {str(path.relative_to(folder)): _record_of(path) for path in paths}
    shown = key.hex() if isinstance(key, bytes) else dict(key)
    text = json.dumps({"kind": kind, "key": shown, "files": files}, indent=1, sort_keys=True, default=str)
    (folder / MANIFEST).write_text(text, encoding="utf-8")


def _record_of(path: Path) -> dict[str, Any]:
    if path.is_symlink():
        return {"link": str(path.readlink())}
    with path.open("rb") as file:
        return {"size": path.stat().st_size, "sha256": file_digest(file, "sha256").hexdigest()}


def _name_of(key: Key) -> str:
    return sha256(key if isinstance(key, bytes) else _canonical(key)).hexdigest()[:24]


def _canonical(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str).encode()


def _generation(entry: Path) -> int:
    number = entry.name.rpartition(".")[2]
    return int(number) if number.isdigit() else -1


def _no_space(where: str, free: int, need: int) -> HostEnvironmentError:
    temp = Path(tempfile.gettempdir())
    problem = f"no space left {where}: {free / 1e6:.0f} MB are free there"
    problem += f", {shutil.disk_usage(temp).free / 1e6:.0f} MB in {temp}"
    needed = f"about {need / 1e6:.0f} MB are needed; " if need else ""
    return HostEnvironmentError(problem, remedy=f"{needed}free some, or choose another folder with XDG_CACHE_HOME")


def _with_log(kind: str, error: CommandFailed | UsageError, log: Path | None) -> UsageError:
    hint = f"log: {log}" if log else ""
    if isinstance(error, HostEnvironmentError):
        return HostEnvironmentError(error.problem, remedy="; ".join(filter(None, [error.remedy, hint])))
    if isinstance(error, CommandFailed):
        return HostEnvironmentError(f"{kind} could not be built: {error}", remedy=hint)
    return UsageError("; ".join(filter(None, [str(error), hint])))


def _flush(folder: Path) -> None:
    """Bring every file and folder to the disk, before the rename declares the entry complete."""
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            if not path.is_symlink():
                _sync(path)
        _sync(Path(parent))


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(folder: Path) -> None:
    """Remove an entry or a build; the manifest first, so that a half-removed entry does not count as complete."""
    with suppress(OSError):
        (folder / MANIFEST).unlink()
    shutil.rmtree(folder, ignore_errors=True)
