"""The initramfs of guests: our init, and the modules that it needs to reach the root file system."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.artifacts.cache import BUILD_LOG, Cache, digest_of
from harness.artifacts.cpio import make_cpio
from harness.artifacts.recipes import vm_images
from harness.artifacts.run_tool import run_tool
from harness.kernels.module_set import ModulesRecipe, boot_order
from harness.model.errors import HostEnvironmentError
from harness.model.observe import Progress
from harness.model.topology import MIB

# Incremented whenever the same input would give another archive.
BUILDER = 1
COMMON = "init-common.h"  # included by every init


def build_initrd(cache: Cache, kernel: str, modules: Path, recipe: ModulesRecipe, progress: Progress) -> Path:
    """The cache entry with the `initrd` of a kernel; `kernel` is the digest of the kernel's own entry.

    It holds /init, /boot-modules (names of files, in the order to load) and those files in /boot-modules.d.
    """
    init = build_init(cache, progress)
    key = {"builder": BUILDER, "kernel": kernel, "init": digest_of(init), "boot": recipe.boot}

    def build(folder: Path) -> None:
        progress.step("initramfs: packing")
        order = boot_order(modules, recipe)
        names = "".join(f"{path.name}\n" for path in order)
        files: Mapping[str, bytes | Path] = {
            "init": init / "init",
            "boot-modules": names.encode(),
            **{f"boot-modules.d/{path.name}": path for path in order},
        }
        (folder / "initrd").write_bytes(make_cpio(files, {"init": 0o755}))

    return cache.get_or_build("initrd", key, build, need=16 * MIB)


def build_init(cache: Cache, progress: Progress, source: str = "init.c") -> Path:
    """The cache entry with an `init`, compiled from vm-images/`source`; raises HostEnvironmentError."""
    texts = {name: _read(vm_images() / name) for name in (source, COMMON)}

    def build(folder: Path) -> None:
        progress.step(f"{source}: compiling")
        target = folder / "init"
        command = ["gcc", "-O2", "-static", "-Wall", "-o", str(target), str(vm_images() / source)]
        run_tool(command, log=folder / BUILD_LOG)
        run_tool(["strip", str(target)], log=folder / BUILD_LOG)
        target.chmod(0o755)

    return cache.get_or_build("init", {"builder": BUILDER, "sources": texts}, build, need=8 * MIB)


def _read(source: Path) -> str:
    try:
        return source.read_text(encoding="utf-8")
    except OSError as error:
        remedy = "restore it from the repository"
        raise HostEnvironmentError(f"{source} cannot be read: {error.strerror}", remedy=remedy) from error
