"""Modules of a distribution's kernel with the user's patches: the touched modules are rebuilt from its own source."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from harness.artifacts.cache import BUILD_LOG, MANIFEST, Cache, digest_of
from harness.artifacts.run_tool import run_tool
from harness.inventory.values import is_kernel_file
from harness.kernels.kbuild import CORE, Built, Makefiles, file_of
from harness.kernels.kernel_checks import check_module
from harness.kernels.kernel_source import KernelPackages
from harness.kernels.kernels import Kernel
from harness.kernels.module_build import compiler_version, make_modules, merge_headers, unpack_headers
from harness.kernels.module_set import closure, module_name, read_dependencies
from harness.kernels.patch_file import Patch, apply, read_patch, touched_by
from harness.model.errors import UsageError
from harness.model.observe import Progress
from harness.model.settings import Settings
from harness.model.topology import MIB

# Incremented whenever the same patches would give other modules.
BUILDER = 3
KIND = "patched"
OWN_FILE = "Kbuild.kernel"
# The folder's own Makefile says how each module is made; the lines after it say which modules to build.
WRAPPER = "include $(src)/{file}\nobj-y :=\nlib-y :=\nobj-m := {objects}\n"
_INSTEAD = "apply it to a tree, build that, and give it with --kernel TREE"


def build_patched(settings: Settings, kernel: Kernel, patches: Sequence[str], progress: Progress) -> list[Path]:
    """The `.ko` files of all modules that `patches` touch, applied in their order, from the cache or built now.

    Raises UsageError if one is not a patch, does not apply, or touches more than modules; HostEnvironmentError for what
    this machine or the archive lacks.
    """
    if is_kernel_file(kernel.name):
        problem = f"--patch is for kernels of a distribution, whose source is known, and {kernel.name} is not one"
        raise UsageError(f"{problem}; apply {patches[0]} to its source and build that")
    given = [read_patch(Path(patch)) for patch in patches]
    for patch in given:
        _refuse_core(patch)
    cache = Cache(settings.cache, progress)
    packages = KernelPackages(settings, kernel, cache, progress)
    folders = sorted({str(PurePosixPath(path).parent) for patch in given for path in patch.touched})
    source = packages.folders(folders)
    key = {
        "builder": BUILDER,
        "release": kernel.release,
        "version": kernel.version,
        "patches": [patch.text.encode("utf-8", "surrogateescape").hex() for patch in given],
        "source": digest_of(source),
        "compiler": compiler_version(kernel),
    }

    def build(folder: Path) -> None:
        _Build(folder, kernel, given, progress).run(source, packages.headers())

    entry = cache.get_or_build(KIND, key, build, need=500 * MIB)
    return sorted((entry / "modules").glob("*.ko"))


def _refuse_core(patch: Patch) -> None:
    """Refuse files that belong to no module, whatever the Makefiles say; all others are looked up in the Makefiles."""
    for path in patch.touched:
        if path.startswith("include/"):
            problem = f"{path} is a header that any part of the kernel may include"
        elif PurePosixPath(path).name.startswith("Kconfig"):
            problem = f"{path} changes what can be configured"
        else:
            continue
        raise UsageError(f"patch {patch.path} touches more than modules: {problem}; {_INSTEAD}")


class _Build:
    """All patches together, in the folder of their cache entry."""

    def __init__(self, folder: Path, kernel: Kernel, patches: Sequence[Patch], progress: Progress) -> None:
        self._folder = folder
        self._kernel = kernel
        self._patches = patches
        self._progress = progress
        self._log = folder / BUILD_LOG

    def run(self, source: Path, headers: Path) -> None:
        """Source → patched → touched modules found → compiled with the headers; only modules and log are kept."""
        tree = self._folder / "tree"
        shutil.copytree(source, tree, ignore=shutil.ignore_patterns(BUILD_LOG, MANIFEST))
        of = f"the source of {self._kernel.name} {self._kernel.version}"
        for patch in self._patches:
            self._progress.step(f"applying {patch.path.name}")
            apply(patch, tree, of, self._log)
        modules = self._in_order(self._touched(Makefiles(tree, self._kernel.config)))
        prepared = merge_headers(unpack_headers(headers, self._folder / "headers", self._kernel, self._log))
        shutil.copytree(tree, prepared, dirs_exist_ok=True)
        target = self._folder / "modules"
        target.mkdir()
        for folder, names in modules:
            self._make(prepared, folder, names)
            take_exports(prepared, folder, names)
            for name in names:
                self._take(prepared / folder / f"{name}.ko", target)
        shutil.rmtree(tree)
        shutil.rmtree(self._folder / "headers")

    def _touched(self, makefiles: Makefiles) -> set[Built]:
        modules: set[Built] = set()
        for patch, path in touched_by(self._patches):
            built = makefiles.built_from(path)
            if not built:
                problem = f"{path} is in no module of {self._kernel.name}, whose configuration leaves it out"
                raise UsageError(f"patch {patch.path}: {problem}")
            if not path.endswith(("/Makefile", "/Kbuild")) and any(found.name == CORE for found in built):
                problem = f"{path} is built into the kernel itself"
                raise UsageError(f"patch {patch.path} touches more than modules: {problem}; {_INSTEAD}")
            modules |= {found for found in built if found.name != CORE}
        if not modules:
            raise UsageError(f"patch {self._patches[0].path} touches no module of {self._kernel.name}")
        return modules

    def _in_order(self, modules: set[Built]) -> list[tuple[str, list[str]]]:
        """Folders with their modules, each after what its modules depend on."""
        depends = read_dependencies(self._kernel.modules_dir)
        paths = {module_name(path): path for path in depends}
        known = closure([paths[name] for name in (_name(one) for one in sorted(modules)) if name in paths], depends)
        order = {path: place for place, path in enumerate(known)}
        folders: dict[str, list[str]] = {}
        for one in sorted(modules, key=lambda one: order.get(paths.get(_name(one), ""), len(order))):
            folders.setdefault(one.folder, []).append(one.name)
        return list(folders.items())

    def _make(self, tree: Path, folder: str, names: list[str]) -> None:
        self._progress.step(f"compiling {', '.join(f'{name}.ko' for name in names)} for {self._kernel.release}")
        own = file_of(tree / folder)
        assert own is not None, "a module was found by what this file says"
        own.rename(own.with_name(OWN_FILE))
        objects = " ".join(f"{name}.o" for name in names)
        (tree / folder / "Kbuild").write_text(WRAPPER.format(file=OWN_FILE, objects=objects), encoding="utf-8")
        what = " and ".join(str(patch.path) for patch in self._patches)
        make_modules(tree, folder, self._kernel, f"{names[0]}.ko with {what}", self._log)

    def _take(self, module: Path, target: Path) -> None:
        taken = target / re.sub("-", "_", module.name)
        shutil.move(module, taken)
        run_tool(["strip", "-g", str(taken)], log=self._log)
        check_module(taken, self._kernel.release)


def _name(built: Built) -> str:
    return module_name(f"{built.name}.ko")


def take_exports(tree: Path, folder: str, names: Sequence[str]) -> None:
    """Let the modules built next see the present exports of the modules `names` of `folder`, not the former ones."""
    listing = tree / "Module.symvers"  # <checksum> <symbol> <module> <kind> <namespace>
    built = {f"{folder}/{name}" for name in names}
    kept = [line for line in listing.read_text(encoding="utf-8").splitlines() if line.split("\t")[2] not in built]
    new = (tree / folder / "Module.symvers").read_text(encoding="utf-8").splitlines()
    listing.write_text("".join(f"{line}\n" for line in [*kept, *new]), encoding="utf-8")
