"""Source and headers of a distribution's kernel: what a module is built from."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from harness.model.errors import UsageError
from harness.model.observe import Progress
from harness.model.settings import Settings
from harness.model.topology import MIB
from harness.targets.apt import PrivateApt
from harness.targets.cache import BUILD_LOG, Cache
from harness.targets.kernels import Kernel
from harness.targets.mirror import codename_of, find_sources
from harness.targets.toolrun import CommandFailed, run_tool

# Changes whenever the same package would give other files.
BUILDER = 1


class KernelPackages:
    """What a module build takes from the distribution of `kernel`, in the cache and never installed."""

    def __init__(self, settings: Settings, kernel: Kernel, cache: Cache, progress: Progress) -> None:
        self._settings = settings
        self._kernel = kernel
        self._cache = cache
        self._progress = progress

    def source(self, paths: list[str]) -> Path:
        """The cache entry with the files `paths` of the kernel's source."""
        return self._entry("kernel-source", {"paths": paths}, lambda folder: self._extract(folder, paths), 400 * MIB)

    def headers(self) -> Path:
        """The cache entry with the packages that a module build needs."""
        return self._entry("kernel-headers", {}, self._download_headers, 50 * MIB)

    def _entry(self, kind: str, more: dict[str, Any], build: Any, need: int) -> Path:
        key = {"builder": BUILDER, "kernel": self._kernel.name, "version": self._kernel.version, **more}
        key["release"] = self._kernel.release
        return self._cache.get_or_build(kind, key, build, need=need)

    def _extract(self, folder: Path, paths: list[str]) -> None:
        apt, version = self._apt(folder), self._kernel.version
        package = f"linux-source-{self._kernel.series}"
        archive = apt.download(package, version, folder)
        unpacked = folder / "unpacked"
        self._progress.step(f"taking {len(paths)} files out of {package}")
        run_tool(["dpkg-deb", "-x", str(archive), str(unpacked)], log=folder / BUILD_LOG)
        (tarball,) = (unpacked / "usr/src").glob("linux-source-*.tar.*")
        top = tarball.name.partition(".tar")[0]
        # --occurrence ends the reading of 1.4 GB once every file was found.
        take = ["tar", "-xf", str(tarball), "-C", str(folder), "--strip-components=1", "--occurrence=1"]
        try:
            run_tool([*take, *(f"{top}/{path}" for path in paths)], log=folder / BUILD_LOG)
        except CommandFailed as error:
            raise UsageError(f"{package} {version}: {error.last}") from error
        archive.unlink()
        shutil.rmtree(unpacked)
        shutil.rmtree(folder / "apt")

    def _download_headers(self, folder: Path) -> None:
        apt, version = self._apt(folder), self._kernel.version
        headers = apt.show(f"linux-headers-{self._kernel.release}")
        names = [headers.name]
        names += filter(None, (headers.dependency(r"linux-headers-.*-common"), headers.dependency(r"linux-kbuild-.*")))
        for name in names:
            apt.download(name, version, folder)
        shutil.rmtree(folder / "apt")

    def _apt(self, folder: Path) -> PrivateApt:
        sources = find_sources(self._settings.mirror, codename_of(self._kernel.name))
        apt = PrivateApt(folder / "apt", sources, self._progress, folder / BUILD_LOG)
        apt.update()
        return apt
