"""Packages of a distribution's kernel: source and headers, from which modules are built, and the kernel itself."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from harness.artifacts.apt import PrivateApt
from harness.artifacts.cache import BUILD_LOG, Cache
from harness.artifacts.mirror import find_sources, suite_of
from harness.artifacts.run_tool import CommandFailed, run_tool
from harness.kernels.kernels import Kernel, download_parts
from harness.model.errors import UsageError
from harness.model.observe import Progress
from harness.model.settings import Settings
from harness.model.topology import MIB

# Incremented whenever the same package would give other files.
BUILDER = 1


class KernelPackages:
    """Packages of the distribution of `kernel`, in the cache and never installed."""

    def __init__(self, settings: Settings, kernel: Kernel, cache: Cache, progress: Progress) -> None:
        self._settings = settings
        self._kernel = kernel
        self._cache = cache
        self._progress = progress

    def source(self, paths: list[str]) -> Path:
        """The cache entry with the files `paths` of the kernel's source."""
        return self._entry("kernel-source", {"paths": paths}, lambda folder: self._extract(folder, paths), 400 * MIB)

    def folders(self, folders: Sequence[str]) -> Path:
        """The cache entry with all of `folders` of the kernel's source, and files around them that they may include.

        Those are the files of every folder above them but the top, and the headers of their subsystem (drivers/nvme).
        """
        key = {"folders": sorted(folders)}
        return self._entry("kernel-folders", key, lambda folder: self._extract_folders(folder, folders), 200 * MIB)

    def headers(self) -> Path:
        """The cache entry with the packages that a module build needs."""
        return self._entry("kernel-headers", {}, self._download_headers, 50 * MIB)

    def image(self) -> Path:
        """The package of the kernel itself, as it came; those of its parts are beside it."""
        entry = self._entry("kernel-package", {}, self._download_image, 200 * MIB)
        return next(entry.glob("linux-image-*.deb"))

    def _entry(self, kind: str, more: dict[str, Any], build: Any, need: int) -> Path:
        key = {"builder": BUILDER, "kernel": self._kernel.name, "version": self._kernel.version, **more}
        key["release"] = self._kernel.release
        return self._cache.get_or_build(kind, key, build, need=need)

    def _tarball(self) -> Path:
        """The archive of the whole source, some 140 MB; never unpacked as a whole, which would take 1.4 GB."""
        entry = self._entry("kernel-tarball", {}, self._download_source, 400 * MIB)
        return next(entry.glob("linux-source-*.tar.*"))

    def _download_source(self, folder: Path) -> None:
        apt, version = self._apt(folder), self._kernel.version
        archive = apt.download(self._package, version, folder)
        unpacked = folder / "unpacked"
        run_tool(["dpkg-deb", "-x", str(archive), str(unpacked)], log=folder / BUILD_LOG)
        (tarball,) = (unpacked / "usr/src").glob("linux-source-*.tar.*")
        tarball.rename(folder / tarball.name)
        archive.unlink()
        shutil.rmtree(unpacked)
        shutil.rmtree(folder / "apt")

    @property
    def _package(self) -> str:
        return f"linux-source-{self._kernel.series}"

    def _extract(self, folder: Path, paths: list[str]) -> None:
        tarball = self._tarball()
        self._progress.step(f"taking {len(paths)} files out of {self._package}")
        top = tarball.name.partition(".tar")[0]
        # --occurrence ends the reading of 1.4 GB once every file was found.
        take = ["tar", "-xf", str(tarball), "-C", str(folder), "--strip-components=1", "--occurrence=1"]
        try:
            run_tool([*take, *(f"{top}/{path}" for path in paths)], log=folder / BUILD_LOG)
        except CommandFailed as error:
            raise UsageError(f"{self._package} {self._kernel.version}: {error.last}") from error

    def _extract_folders(self, folder: Path, folders: Sequence[str]) -> None:
        tarball = self._tarball()
        self._progress.step(f"taking {', '.join(folders)} out of {self._package}")
        with tarfile.open(tarball, "r|*") as archive:
            for member in archive:
                path = member.name.partition("/")[2]
                if member.isfile() and is_near(path, folders) and (file := archive.extractfile(member)) is not None:
                    (folder / path).parent.mkdir(parents=True, exist_ok=True)
                    (folder / path).write_bytes(file.read())

    def _download_headers(self, folder: Path) -> None:
        apt, version = self._apt(folder), self._kernel.version
        headers = apt.show(f"linux-headers-{self._kernel.release}")
        names = [headers.name]
        names += filter(None, (headers.dependency(r"linux-headers-.*-common"), headers.dependency(r"linux-kbuild-.*")))
        for name in names:
            apt.download(name, version, folder)
        shutil.rmtree(folder / "apt")

    def _download_image(self, folder: Path) -> None:
        apt = self._apt(folder)
        package = apt.show(f"linux-image-{self._kernel.release}")
        download_parts(apt, package, self._kernel.version, folder)
        shutil.rmtree(folder / "apt")

    def _apt(self, folder: Path) -> PrivateApt:
        sources = find_sources(self._settings.mirror, suite_of(self._kernel.name)[0])
        apt = PrivateApt(folder / "apt", sources, self._progress, folder / BUILD_LOG)
        apt.update()
        return apt


def is_near(path: str, folders: Sequence[str]) -> bool:
    """Whether a build of `folders` may read the file `path`: below one, in a folder above one, a header beside it."""
    parent = PurePosixPath(path).parent
    for folder in map(PurePosixPath, folders):
        above = folder.parents[:-1] if len(folder.parts) > 1 else ()
        subsystem = PurePosixPath(*folder.parts[:2])
        is_header = path.endswith(".h") and parent.is_relative_to(subsystem)
        if parent.is_relative_to(folder) or parent in above or is_header:
            return True
    return False
