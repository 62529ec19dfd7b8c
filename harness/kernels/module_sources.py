"""Modules outside of packages: installed in a folder, packed in a tar file, or left in the tree by a build.

Each of them is staged: links to them fill a root as depmod's `-b` takes it, so that nothing is ever written among the
user's own files.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from harness.artifacts.run_tool import CommandFailed, run_tool
from harness.kernels.kernel_checks import check_module
from harness.model.errors import UsageError

LISTINGS = ("modules.order", "modules.builtin", "modules.builtin.modinfo")
# Possible places of lib/modules/<release> below a folder given for modules.
_PLACES = ("lib/modules/{}", "usr/lib/modules/{}", "modules/{}", "{}")


class ModuleSource(Protocol):
    """The modules of one kernel, wherever they are."""

    def fingerprint(self) -> str:
        """Changes with the name, size or time of any module; reads no module."""

    def stage(self, root: Path, release: str, log: Path) -> None:
        """Fill `root`/lib/modules/<release>; raises UsageError if modules are missing, or another kernel's."""


@dataclass(frozen=True, slots=True)
class InstalledModules:
    """The folder lib/modules/<release> of a `make modules_install`, or of an unpacked package."""

    folder: Path

    def fingerprint(self) -> str:
        """See `ModuleSource.fingerprint`."""
        return fingerprint_of(self.folder, self._files())

    def stage(self, root: Path, release: str, log: Path) -> None:
        """See `ModuleSource.stage`."""
        target = root / "lib/modules" / release
        files = self._files()
        for path in files:
            _link(path, target / path.relative_to(self.folder))
        _finish(files, target, release)

    def _files(self) -> list[Path]:
        listings = (self.folder / name for name in LISTINGS)
        return sorted(self.folder.rglob("*.ko*")) + [path for path in listings if path.exists()]


@dataclass(frozen=True, slots=True)
class TreeModules:
    """The modules of a built tree, which its modules.order lists: what `make modules_install` would take."""

    tree: Path

    def fingerprint(self) -> str:
        """See `ModuleSource.fingerprint`."""
        listings = (self.tree / name for name in LISTINGS)
        return fingerprint_of(self.tree, [*self._files(), *(path for path in listings if path.exists())])

    def stage(self, root: Path, release: str, log: Path) -> None:
        """See `ModuleSource.stage`."""
        target = root / "lib/modules" / release
        files = self._files()
        for path in files:
            _link(path, target / "kernel" / path.relative_to(self.tree))
        target.mkdir(parents=True, exist_ok=True)
        lines = "".join(f"kernel/{path.relative_to(self.tree)}\n" for path in files)
        (target / "modules.order").write_text(lines, encoding="utf-8")
        for name in LISTINGS[1:]:
            if (self.tree / name).exists():
                shutil.copyfile(self.tree / name, target / name)
        _finish(files, target, release)

    def _files(self) -> list[Path]:
        lines = (self.tree / "modules.order").read_text(encoding="utf-8").split()
        # "kernel/fs/ext4/ext4.ko" before v5.3, "fs/ext4/ext4.ko" since then, "fs/ext4/ext4.o" since v6.3.
        names = [re.sub(r"\.k?o$", ".ko", line.removeprefix("kernel/")) for line in lines]
        missing = [name for name in names if not (self.tree / name).exists()]
        if missing:
            count = f"{len(missing)} of the {len(names)} modules of modules.order are"
            raise UsageError(f"kernel {self.tree}: {count} not built, such as {missing[0]}; run make in it")
        return [self.tree / name for name in dict.fromkeys(names)]


@dataclass(frozen=True, slots=True)
class PackedModules:
    """A tar file with lib/modules/<release> in it, compressed or not, such as `make targz-pkg` leaves."""

    tar: Path

    def fingerprint(self) -> str:
        """See `ModuleSource.fingerprint`."""
        return fingerprint_of(self.tar.parent, [self.tar])

    def stage(self, root: Path, release: str, log: Path) -> None:
        """See `ModuleSource.stage`."""
        unpacked = root / "unpacked"
        unpacked.mkdir(parents=True)
        try:
            run_tool(["tar", "-xf", str(self.tar), "-C", str(unpacked), "--no-same-owner"], log=log)
        except CommandFailed as error:
            raise UsageError(f"modules {self.tar} is neither a folder nor a tar file: {error.last}") from error
        found = find_installed(unpacked, release)
        if found is None:
            raise _none_for(self.tar, unpacked, release)
        InstalledModules(found).stage(root, release, log)


def modules_at(path: Path, release: str) -> ModuleSource:
    """The modules of kernel `release` at `path`: a root with lib/modules/<release>, that folder itself, or a tar file.

    Raises UsageError if a folder has none for this kernel; for a tar file, `stage` does.
    """
    if not path.is_dir():
        return PackedModules(path)
    found = find_installed(path, release)
    if found is not None:
        return InstalledModules(found)
    if (path / "modules.order").exists() and not (path / "kernel/fs").is_dir():
        return TreeModules(path)
    if (path / "kernel").is_dir():
        return InstalledModules(path)
    raise _none_for(path, path, release)


def find_installed(folder: Path, release: str) -> Path | None:
    """The folder of the modules of `release` at or below `folder`, or None."""
    if folder.resolve().name == release:
        return folder
    places = (folder / place.format(release) for place in _PLACES)
    return next((place for place in places if place.is_dir()), None)


def fingerprint_of(base: Path, files: list[Path]) -> str:
    """Changes with the name below `base`, the size or the time of any file; hashing them each time would be slow."""
    stats = [(str(path.relative_to(base)), path.stat()) for path in files]
    return sha256(repr([(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]).encode()).hexdigest()


def _link(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.symlink_to(path.resolve())


def _finish(files: list[Path], target: Path, release: str) -> None:
    """Finish a stage: make sure that its folder exists, and that its modules are this kernel's."""
    target.mkdir(parents=True, exist_ok=True)
    first = next((path for path in files if ".ko" in path.name), None)
    if first is not None:
        check_module(first, release)


def _none_for(path: Path, folder: Path, release: str) -> UsageError:
    places = (place for pattern in _PLACES[:3] for place in folder.glob(pattern.format("*")))
    known = ", ".join(sorted({place.name for place in places if place.is_dir()}))
    has = f"it has those of: {known}" if known else "it has no lib/modules"
    return UsageError(f"modules {path} has none for kernel {release} (lib/modules/{release}); {has}")
