"""The initramfs of a host that somebody owns: our init, the modules that lead to its root file system, and all others
that it and the cases need, as the tree that will lie over its /lib/modules."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from hashlib import file_digest
from pathlib import Path

from harness.artifacts.cache import BUILD_LOG, Cache, digest_of
from harness.artifacts.cache_eviction import hold, keep_within
from harness.artifacts.cpio import make_cpio
from harness.artifacts.recipes import read_recipe, vm_images
from harness.artifacts.run_tool import run_tool
from harness.inventory.values import is_kernel_file
from harness.kernels.find_kernel import Origin, Package, find_origin
from harness.kernels.host_modules import ModuleIndex, Wanted
from harness.kernels.initrd import build_init
from harness.kernels.kernel_source import KernelPackages
from harness.kernels.kernels import Kernel
from harness.kernels.module_set import ModulesRecipe, copy_modules, select, uncompressed
from harness.model.errors import UsageError
from harness.model.observe import Progress
from harness.model.settings import Settings
from harness.model.topology import GIB, MIB

# Incremented whenever the same input would give another archive.
BUILDER = 1
KIND = "host-initrd"
# The unpacked package, the modules that are taken from it, and the archive.
NEED = 1500 * MIB
BUDGET = 2 * GIB
SOURCE = "host-init.c"
# In the order of preference; what both this machine's depmod and the host's modprobe read. They take a third.
COMPRESSIONS: Mapping[str, tuple[str, Sequence[str]]] = {
    "zstd": (".zst", ("zstd", "-q", "-10", "--rm")),
    "xz": (".xz", ("xz", "-1", "--check=crc32")),
}
# Entries in use until this process ends: a host may start from them at any time.
_held: set[Path] = set()


def build_host_initrd(
    settings: Settings,
    kernel: Kernel,
    wanted: Wanted,
    replaced: Mapping[str, Path],
    compressions: Sequence[str],
    progress: Progress,
    *,
    modules_from: str = "",
) -> Path:
    """The initramfs of a host, from the cache or packed now; all but /harness.conf, which comes behind it.

    `replaced`: path below /lib/modules/<release> → the file that replaces it. `compressions` are those that the host's
    modprobe reads. Raises UsageError if the kernel is not what it was, HostEnvironmentError for what this machine or
    the archive lacks.
    """
    cache = Cache(settings.cache, progress)
    origin = _origin(settings, kernel, cache, progress, modules_from)
    recipe = read_recipe(vm_images() / "modules.toml", ModulesRecipe)
    init = build_init(cache, progress, SOURCE)
    compression = next((name for name in COMPRESSIONS if name in compressions), "")
    key = {
        "builder": BUILDER,
        "kernel": origin.key(),
        "init": digest_of(init),
        "wanted": asdict(wanted),
        "replaced": {path: _hash(file) for path, file in replaced.items()},
        "compression": compression,
        "recipe": recipe.model_dump(exclude={"boot"}),
    }

    def build(folder: Path) -> None:
        progress.step(f"initramfs of the host: modules of {kernel.release}")
        tree = _Tree(folder, kernel.release)
        tree.lay_out(origin, replaced)
        files = tree.packed(wanted, recipe, compression)
        (folder / "initrd").write_bytes(make_cpio({"init": init / "init", **files}, {"init": 0o755}))
        tree.remove()

    entry, held = hold(lambda: cache.get_or_build(KIND, key, build, need=NEED))
    if entry in _held:
        os.close(held)
    else:
        _held.add(entry)
        keep_within(cache, KIND, BUDGET)
    return entry / "initrd"


def _origin(settings: Settings, kernel: Kernel, cache: Cache, progress: Progress, modules_from: str) -> Origin:
    """Where all modules of `kernel` are; its entry in the cache has only those for guests."""
    if is_kernel_file(kernel.name):
        return find_origin(Path(kernel.name), modules_from)
    return Package(KernelPackages(settings, kernel, cache, progress).image())


class _Tree:
    """The modules of one kernel in the folder of a cache entry: all of them, and then those for the host."""

    def __init__(self, folder: Path, release: str) -> None:
        self._release = release
        self._full, self._reduced = folder / "full", folder / "reduced"
        self._log = folder / BUILD_LOG

    @property
    def _modules(self) -> Path:
        return self._reduced / "lib/modules" / self._release

    def lay_out(self, origin: Origin, replaced: Mapping[str, Path]) -> None:
        """Lay out all modules, the replaced ones among them."""
        self._full.mkdir()
        laid = origin.lay_out(self._full, self._log)
        if laid.release != self._release:
            raise UsageError(f"the kernel is {laid.release} by now, and was {self._release}; start anew")
        modules = self._full / "lib/modules" / self._release
        modules.mkdir(parents=True, exist_ok=True)
        places = {uncompressed(str(path.relative_to(modules))): path for path in modules.rglob("*.ko*")}
        for path, file in replaced.items():
            if path in places:
                places[path].unlink()
            (modules / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, modules / path)
        self._depmod(self._full)

    def packed(self, wanted: Wanted, recipe: ModulesRecipe, compression: str) -> dict[str, Path | bytes]:
        """Files of the initramfs: modules to load at once, uncompressed, and the tree of all."""
        index = ModuleIndex(self._full / "lib/modules" / self._release)
        paths = index.all_of(wanted) | select(index.depends, recipe)
        copy_modules(self._full, self._reduced, self._release, paths, self._log)
        early = [uncompressed(path) for path in index.early(wanted)]
        files: dict[str, Path | bytes] = {"boot-modules": "".join(f"{Path(path).name}\n" for path in early).encode()}
        files |= {f"boot-modules.d/{Path(path).name}": (self._modules / path).read_bytes() for path in early}
        self._compress(compression)
        self._depmod(self._reduced)
        tree = sorted(path for path in self._modules.rglob("*") if path.is_file())
        return files | {f"modules/{path.relative_to(self._modules.parent)}": path for path in tree}

    def remove(self) -> None:
        """Remove both trees."""
        shutil.rmtree(self._full)
        shutil.rmtree(self._reduced)

    def _compress(self, compression: str) -> None:
        modules = sorted(map(str, self._modules.rglob("*.ko")))
        if not compression or not modules:
            return
        run_tool([*COMPRESSIONS[compression][1], *modules], log=self._log)

    def _depmod(self, root: Path) -> None:
        run_tool(["depmod", "-b", str(root), self._release], log=self._log)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
