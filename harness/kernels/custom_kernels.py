"""Kernels by name: a distribution's, or one that the user built."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from harness.artifacts.cache import BUILD_LOG, Cache
from harness.artifacts.cache_eviction import hold, keep_within
from harness.artifacts.recipes import read_recipe, vm_images
from harness.inventory.values import is_kernel_file
from harness.kernels.find_kernel import find_origin
from harness.kernels.kernels import TREE, Kernel, fetch_kernel, fill_entry, kernel_of
from harness.kernels.module_set import ModulesRecipe
from harness.model.errors import UsageError
from harness.model.observe import Progress
from harness.model.settings import Settings
from harness.model.topology import GIB, MIB

# Incremented whenever the same kernel would give other files.
BUILDER = 2
KIND = "own-kernel"
# Bytes for the unpacked modules, those that are kept, and a disk of them.
NEED = 1000 * MIB
# 25 kernels of a distribution; an evicted one is built again in half a minute.
BUDGET = 6 * GIB
# Entries in use until this process ends, since its guests start from them; each trial asks for them again.
_held: set[Path] = set()


def find_kernel(
    settings: Settings, name: str, progress: Progress, *, modules_from: str = "", refresh: bool = False
) -> Kernel:
    """The kernel `name`: `debian:12`, or with a slash in it, the path of a built tree, a boot image or a package.

    `modules_from` is a folder or a tar file with the modules of a boot image. Raises as `load_kernel` and
    `fetch_kernel` do.
    """
    if is_kernel_file(name):
        return load_kernel(settings, Path(name), progress, modules_from=modules_from)
    if modules_from:
        raise UsageError(f"kernel {name} has its own modules; {modules_from} is for a boot image (--kernel FILE)")
    return fetch_kernel(settings, name, progress, refresh=refresh)


def load_kernel(settings: Settings, path: Path, progress: Progress, *, modules_from: str = "") -> Kernel:
    """The kernel at `path`, with its modules, from the cache as long as none of its files change.

    Raises UsageError if it is not a kernel, is not built, or has modules of another kernel.
    """
    origin = find_origin(path, modules_from)
    recipe = read_recipe(vm_images() / "modules.toml", ModulesRecipe)
    key = {"builder": BUILDER, **origin.key(), "recipe": recipe.model_dump(include=TREE)}
    cache = Cache(settings.cache, progress)

    def build(folder: Path) -> None:
        progress.step(f"kernel {path}: taking its modules")
        full = folder / "full"
        full.mkdir()
        laid = origin.lay_out(full, folder / BUILD_LOG)
        shutil.copyfile(laid.vmlinuz, folder / "vmlinuz")
        (folder / "config").write_bytes(laid.config.read_bytes() if laid.config else b"")
        (full / "lib/modules" / laid.release).mkdir(parents=True, exist_ok=True)
        fill_entry(folder, full, laid.release, laid.version, recipe)

    entry, held = hold(lambda: cache.get_or_build(KIND, key, build, need=NEED))
    if entry in _held:
        os.close(held)
    else:
        _held.add(entry)
        for removed in keep_within(cache, KIND, BUDGET):
            progress.step(f"removed the kernel {removed.name}: others were used later")
    return kernel_of(cache, entry, str(path), recipe, progress)
