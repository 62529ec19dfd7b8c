"""Kernels that the user built: a boot image, and its modules beside it."""

from __future__ import annotations

import json
import shutil
from hashlib import file_digest, sha256
from pathlib import Path

from harness.model.errors import UsageError
from harness.model.observe import Progress
from harness.model.settings import Settings
from harness.model.topology import MIB
from harness.targets.cache import BUILD_LOG, Cache
from harness.targets.kernel_files import check_kernel_image
from harness.targets.kernels import BUILDER, TREE, Kernel, fetch_kernel, kernel_of, make_modules_image
from harness.targets.module_tree import ModulesRecipe, reduce_modules
from harness.targets.recipes import read_recipe, vm_images

# Where modules are, seen from the boot image: `make modules_install INSTALL_MOD_PATH=` beside it, an unpacked
# package (boot/vmlinuz-…, lib/modules), a source tree (arch/x86/boot/bzImage) with an INSTALL_MOD_PATH at its top.
_ROOTS = (".", "..", "../../..")


def find_kernel(settings: Settings, name: str, progress: Progress, *, refresh: bool = False) -> Kernel:
    """The kernel `name`: `debian:12`, or with a slash in it, the path of a boot image. Errors as of the two below."""
    if "/" in name:
        return load_kernel(settings, Path(name), progress)
    return fetch_kernel(settings, name, progress, refresh=refresh)


def load_kernel(settings: Settings, vmlinuz: Path, progress: Progress) -> Kernel:
    """The kernel of the boot image `vmlinuz`, with the modules in lib/modules/<release> beside or above it.

    Without any, everything that a guest needs has to be built in. Raises UsageError if the file is no kernel.
    """
    release = (check_kernel_image(vmlinuz).split() or [""])[0]
    if not release:
        raise UsageError(f"kernel {vmlinuz} does not say its release")
    recipe = read_recipe(vm_images() / "modules.toml", ModulesRecipe)
    modules = find_modules(vmlinuz, release)
    key = {
        "builder": BUILDER,
        "vmlinuz": _hash(vmlinuz),
        "modules": _fingerprint(modules) if modules else "",
        "recipe": recipe.model_dump(include=TREE),
    }
    cache = Cache(settings.cache, progress)

    def build(folder: Path) -> None:
        progress.step(f"kernel {release}: taking its modules")
        _fill(folder, vmlinuz, release, modules, recipe)

    return kernel_of(
        cache, cache.get_or_build("own-kernel", key, build, need=500 * MIB), str(vmlinuz), recipe, progress
    )


def find_modules(vmlinuz: Path, release: str) -> Path | None:
    """The folder lib/modules/<release> near `vmlinuz`, or None; raises UsageError if depmod has not been run on it."""
    for root in _ROOTS:
        folder = (vmlinuz.resolve().parent / root / "lib/modules" / release).resolve()
        if folder.is_dir():
            if not (folder / "modules.dep").exists():
                base = folder.parents[2]
                raise UsageError(f"{folder} has no modules.dep; run: depmod -b {base} {release}")
            return folder
    return None


def _fill(folder: Path, vmlinuz: Path, release: str, modules: Path | None, recipe: ModulesRecipe) -> None:
    shutil.copyfile(vmlinuz, folder / "vmlinuz")
    config = next(
        (path for path in (vmlinuz.with_name(f"config-{release}"), _tree_config(vmlinuz)) if path.exists()), None
    )
    (folder / "config").write_bytes(config.read_bytes() if config else b"")
    if modules:
        reduce_modules(modules.parents[2], folder, release, recipe, folder / BUILD_LOG)
    else:
        empty = folder / "lib/modules" / release
        empty.mkdir(parents=True)
        (empty / "modules.dep").touch()
    make_modules_image(folder, folder / BUILD_LOG)
    facts = {"release": release, "version": release}
    (folder / "kernel.json").write_text(json.dumps(facts), encoding="utf-8")


def _tree_config(vmlinuz: Path) -> Path:
    return vmlinuz.resolve().parent / "../../../.config"


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _fingerprint(folder: Path) -> str:
    """Changes with any module's size or time: hashing some hundred megabytes at every start would be felt."""
    stats = ((str(path.relative_to(folder)), path.stat()) for path in sorted(folder.rglob("*.ko*")))
    return sha256(repr([(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]).encode()).hexdigest()
