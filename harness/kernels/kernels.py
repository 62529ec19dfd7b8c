"""Kernels of guests: a distribution's own package, as a boot image, a disk of modules and an initramfs."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from harness.artifacts.apt import Package, PrivateApt
from harness.artifacts.cache import BUILD_LOG, Cache, digest_of
from harness.artifacts.ext4 import mke2fs_command
from harness.artifacts.mirror import Sources, find_sources, suite_of
from harness.artifacts.recipes import read_recipe, vm_images
from harness.artifacts.run_tool import run_tool
from harness.kernels.initrd import build_initrd
from harness.kernels.kernel_debs import part_names, unpack_kernel
from harness.kernels.module_set import ModulesRecipe, reduce_modules
from harness.model.errors import HostEnvironmentError
from harness.model.observe import Progress
from harness.model.settings import Settings
from harness.model.topology import MIB

# Incremented whenever the same package would give other files.
BUILDER = 1
KIND = "kernel"
# A suite may have newer kernels beside its own, such as 6.12 in the security updates of Debian 12.
META_PACKAGE, SERIES_PACKAGE = "linux-image-amd64", "linux-image-{}-amd64"
IMAGE_PACKAGE = r"linux-image-\d\S*-amd64"
# 90 MB of package, 500 MB unpacked, 200 MB that are kept.
NEED = 1000 * MIB
# Keys of the modules recipe that determine the kernel's entry; the others only determine the initramfs.
TREE = {"keep", "leave_out", "keep_anyway"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """A kernel that guests boot.

    `name` is the requested name (`debian:12`), `release` the output of `uname -r`, `version` that of the package.
    `modules_dir` is lib/modules/<release> as guests see it, `modules_image` an ext4 disk of it, with <release>/ at
    its root; `initrd` has the init and the boot modules. `digest` covers all of them.
    """

    name: str
    release: str
    version: str
    vmlinuz: Path
    modules_dir: Path
    modules_image: Path
    initrd: Path
    config: Path
    digest: str

    @property
    def series(self) -> str:
        """The upstream series: `6.1` of `6.1.0-56-amd64`."""
        return ".".join(self.release.split("-")[0].split(".")[:2])


def fetch_kernel(settings: Settings, name: str, progress: Progress, *, refresh: bool = False) -> Kernel:
    """The kernel of the suite `name` (`debian:12`): the newest at the first fetch, or now with `refresh`.

    `debian:12-6.12` is that of the series 6.12 in the suite. Raises UsageError for an unknown name,
    HostEnvironmentError for what this machine or the archive lacks.
    """
    codename, series = suite_of(name)
    recipe = read_recipe(vm_images() / "modules.toml", ModulesRecipe)
    key = {
        "builder": BUILDER,
        "codename": codename,
        "modules": recipe.model_dump(include=TREE),
        "mirror": settings.mirror,
        **({"series": series} if series else {}),
    }
    cache = Cache(settings.cache, progress)

    def build(folder: Path) -> None:
        sources = find_sources(settings.mirror, codename)
        package = SERIES_PACKAGE.format(series) if series else META_PACKAGE
        _Build(folder, recipe, sources, package, progress).run()

    entry = cache.get_or_build(KIND, key, build, need=NEED, refresh=refresh)
    return kernel_of(cache, entry, name, recipe, progress)


def kernel_of(cache: Cache, entry: Path, name: str, recipe: ModulesRecipe, progress: Progress) -> Kernel:
    """The kernel of a cache entry, with an initramfs for it, from the cache or packed now."""
    facts = json.loads((entry / "kernel.json").read_bytes())
    modules_dir = entry / "lib/modules" / facts["release"]
    initrd = build_initrd(cache, digest_of(entry), modules_dir, recipe, progress)
    return Kernel(
        name=name,
        release=facts["release"],
        version=facts["version"],
        vmlinuz=entry / "vmlinuz",
        modules_dir=modules_dir,
        modules_image=entry / "modules.ext4",
        initrd=initrd / "initrd",
        config=entry / "config",
        digest=f"{digest_of(entry)}+{digest_of(initrd)[:16]}",
    )


class _Build:
    """One kernel, in the folder of its cache entry."""

    def __init__(self, folder: Path, recipe: ModulesRecipe, sources: Sources, package: str, progress: Progress) -> None:
        self._folder = folder
        self._recipe = recipe
        self._sources = sources
        self._package = package
        self._progress = progress
        self._log = folder / BUILD_LOG

    def run(self) -> None:
        """Package → unpacked → the modules that guests need → their disk; the package is not kept."""
        full = self._folder / "full"
        full.mkdir()
        packages, version = self._download()
        self._progress.step(f"unpacking {packages[0].name}")
        kernel = unpack_kernel(packages, full, self._log)
        for package in packages:
            package.unlink()
        kernel.vmlinuz.rename(self._folder / "vmlinuz")
        if kernel.config is None:
            raise HostEnvironmentError(f"{packages[0].name} has no configuration of its kernel")
        kernel.config.rename(self._folder / "config")
        self._progress.step(f"kernel {kernel.release}: choosing modules, making their disk")
        fill_entry(self._folder, full, kernel.release, version, self._recipe)

    def _download(self) -> tuple[list[Path], str]:
        """The kernel's package, or those of its parts if it is in parts; and the version of all of them."""
        apt = PrivateApt(self._folder / "apt", self._sources, self._progress, self._log)
        apt.update()
        name = apt.show(self._package).dependency(IMAGE_PACKAGE)
        if name is None:
            raise HostEnvironmentError(f"{self._package} of {self._sources.codename} depends on no kernel image")
        package = apt.show(name)
        files = download_parts(apt, package, package.version, self._folder)
        shutil.rmtree(self._folder / "apt")
        return files, package.version


def download_parts(apt: PrivateApt, package: Package, version: str, folder: Path) -> list[Path]:
    """The files of a kernel's package at `version`, first its own, then those of its parts if it is in parts."""
    parts = (package.dependency(re.escape(part)) for part in part_names(package.name))
    return [apt.download(name, version, folder) for name in (package.name, *filter(None, parts))]


def fill_entry(folder: Path, full: Path, release: str, version: str, recipe: ModulesRecipe) -> None:
    """Complete a kernel's entry, which has vmlinuz and config, from the modules in the root `full`; removes `full`."""
    log = folder / BUILD_LOG
    reduce_modules(full, folder, release, recipe, log)
    shutil.rmtree(full)
    make_modules_image(folder, log)
    facts = {"release": release, "version": version}
    (folder / "kernel.json").write_text(json.dumps(facts), encoding="utf-8")


def make_modules_image(folder: Path, log: Path) -> None:
    """Make `folder`/modules.ext4 of `folder`/lib/modules; <release>/ is at its root."""
    tree = folder / "lib/modules"
    # Every file takes whole blocks; a tenth and a little on top for inodes and folders.
    blocks = sum(-(-path.stat().st_size // 4096) + 1 for path in tree.rglob("*"))
    size = (blocks * 4096 * 11 // 10 + 8 * MIB) // MIB * MIB
    image = folder / "modules.ext4"
    run_tool(["fakeroot", *mke2fs_command(tree, image, size, "modules")], log=log)
    image.chmod(0o444)
