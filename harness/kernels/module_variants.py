"""Module variants: a driver of the guest's kernel, built from its own source with a patch, or a module of our own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from harness.artifacts.cache import BUILD_LOG, Cache, digest_of
from harness.artifacts.recipes import Recipe, read_recipe, vm_images
from harness.artifacts.run_tool import CommandFailed, run_tool
from harness.inventory.values import is_kernel_file
from harness.kernels.kernel_checks import check_module
from harness.kernels.kernel_source import KernelPackages
from harness.kernels.kernels import Kernel
from harness.kernels.module_build import compiler_version, make_modules, unpack_headers
from harness.model.errors import UsageError
from harness.model.observe import Progress
from harness.model.settings import Settings
from harness.model.topology import MIB

# Incremented whenever the same variant would give another module.
BUILDER = 2

# No segment begins with a dot, so none leads out of the tree.
RelativePath = Annotated[str, StringConstraints(pattern=r"^([\w+-][\w.+-]*/)*[\w+-][\w.+-]*$")]


class VariantRecipe(Recipe):
    """A module variant.

    `module` is the module's name, `source` its folder in the kernel's tree, `files` are taken from there, and
    `extra` from elsewhere in the tree (paths from its top). `kbuild` is the text of the Kbuild file,
    by default one object of the module's name. `undoes` and `commits` say what the patch reverts.

    Without a `source` it is a module of our own: its `files` lie beside the recipe, nothing is patched, and it replaces
    no module of the kernel.
    """

    module: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]+$")]
    source: RelativePath | None = None
    files: Annotated[tuple[RelativePath, ...], Field(min_length=1)]
    extra: tuple[RelativePath, ...] = ()
    kbuild: str = ""
    undoes: str = ""
    commits: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _patched_or_own(self) -> Self:
        if self.source is not None and not self.undoes:
            raise ValueError("a variant of a driver of the kernel says in 'undoes' what its patch takes away")
        if self.source is None and (self.extra or self.undoes or self.commits):
            raise ValueError("a module of our own, without a 'source', has no 'extra', 'undoes' or 'commits'")
        return self

    @property
    def is_own(self) -> bool:
        """Whether this is a module of our own, not a patched driver of the kernel."""
        return self.source is None

    @property
    def sources(self) -> list[str]:
        """Every file that is compiled or included, as paths from the top of the kernel's tree, or from the recipe."""
        folder = "" if self.source is None else f"{self.source}/"
        return [f"{folder}{name}" for name in self.files] + list(self.extra)


def variant_names() -> list[str]:
    """Names of the variants that vm-images/modules/ knows."""
    return sorted(path.parent.name for path in (vm_images() / "modules").glob("*/variant.toml"))


def variants_for(series: str) -> list[str]:
    """Names of the variants that can be built for a kernel of the upstream `series` (`6.1`)."""
    return [name for name in variant_names() if read_variant(name).is_own or _patch_of(name, series).is_file()]


def read_variant(name: str) -> VariantRecipe:
    """The variant `name`; raises UsageError that lists the known ones."""
    path = _folder_of(name) / "variant.toml"
    if "/" in name or not path.is_file():
        known = ", ".join(variant_names()) or "none"
        raise UsageError(f"no module variant {name!r} in vm-images/modules/; there are: {known}")
    return read_recipe(path, VariantRecipe)


def build_variant(settings: Settings, kernel: Kernel, name: str, progress: Progress) -> Path:
    """The `.ko` of the variant `name` for `kernel`, from the cache or built now (half a minute the first time).

    Raises UsageError if there is no such variant, or its patch does not fit this kernel's source;
    HostEnvironmentError for what this machine or the archive lacks.
    """
    recipe = read_variant(name)
    if is_kernel_file(kernel.name):
        hint = "build the module yourself and give the .ko file"
        raise UsageError(f"variant {name} is built from a distribution's packages, which {kernel.name} has not; {hint}")
    patch = None if recipe.is_own else _find_patch(name, kernel)
    cache = Cache(settings.cache, progress)
    packages = KernelPackages(settings, kernel, cache, progress)
    source = _folder_of(name) if recipe.is_own else packages.source(recipe.sources)
    key = {
        "builder": BUILDER,
        "release": kernel.release,
        "version": kernel.version,
        "recipe": recipe.model_dump(),
        "patch": None if patch is None else patch.read_text(encoding="utf-8"),
        "source": _own_text(source, recipe) if recipe.is_own else digest_of(source),
        "compiler": compiler_version(kernel),
    }

    def build(folder: Path) -> None:
        _Build(folder, kernel, name, recipe, progress).run(source, packages.headers(), patch)

    entry = cache.get_or_build("module", key, build, need=200 * MIB)
    return entry / f"{recipe.module}.ko"


def _folder_of(name: str) -> Path:
    return vm_images() / "modules" / name


def _patch_of(name: str, series: str) -> Path:
    return _folder_of(name) / f"{series}.patch"


def _own_text(folder: Path, recipe: VariantRecipe) -> dict[str, str]:
    """The contents of a module of our own, for the key: its files may change at any time."""
    try:
        return {path: (folder / path).read_text(encoding="utf-8") for path in recipe.sources}
    except OSError as error:
        raise UsageError(f"{folder / 'variant.toml'}: files: {error.filename}: {error.strerror}") from error


def _find_patch(name: str, kernel: Kernel) -> Path:
    patch = _patch_of(name, kernel.series)
    if not patch.is_file():
        known = ", ".join(sorted(path.stem for path in patch.parent.glob("*.patch"))) or "none"
        raise UsageError(f"variant {name} has no patch for kernel {kernel.series} ({kernel.name}); it has: {known}")
    return patch


class _Build:
    """One variant, in the folder of its cache entry."""

    def __init__(self, folder: Path, kernel: Kernel, name: str, recipe: VariantRecipe, progress: Progress) -> None:
        self._folder = folder
        self._kernel = kernel
        self._name = name
        self._recipe = recipe
        self._progress = progress
        self._log = folder / BUILD_LOG

    def run(self, source: Path, headers: Path, patch: Path | None) -> None:
        """Source and headers → patched → compiled → stripped; only the module, the patch and the log are kept."""
        tree = self._folder / "tree"
        top = tree / (self._recipe.source or "")
        self._lay_out(source, tree, top)
        if patch is not None:
            self._apply(patch, tree)
            shutil.copyfile(patch, self._folder / "applied.patch")
        build_tree = unpack_headers(headers, self._folder / "headers", self._kernel, self._log)
        self._progress.step(f"{self._name}: compiling {self._recipe.module}.ko for {self._kernel.release}")
        make_modules(build_tree, str(top), self._kernel, f"variant {self._name}", self._log)
        module = self._folder / f"{self._recipe.module}.ko"
        shutil.move(top / module.name, module)
        run_tool(["strip", "-g", str(module)], log=self._log)
        check_module(module, self._kernel.release)
        facts = {"variant": self._name, "release": self._kernel.release, "undoes": self._recipe.undoes}
        (self._folder / "variant.json").write_text(json.dumps(facts), encoding="utf-8")
        shutil.rmtree(tree)
        shutil.rmtree(self._folder / "headers")

    def _lay_out(self, source: Path, tree: Path, top: Path) -> None:
        for path in self._recipe.sources:
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / path, tree / path)
        kbuild = self._recipe.kbuild or f"obj-m := {self._recipe.module}.o\n"
        (top / "Kbuild").write_text(kbuild, encoding="utf-8")

    def _apply(self, patch: Path, tree: Path) -> None:
        self._progress.step(f"{self._name}: applying {patch.name}")
        argv = ["patch", "-p1", "--fuzz=0", "--batch", "--forward", "--no-backup-if-mismatch", "-i", str(patch)]
        try:
            run_tool(argv, log=self._log, cwd=tree)
        except CommandFailed as error:
            source = f"the source of {self._kernel.name} {self._kernel.version}"
            raise UsageError(f"{patch} does not apply to {source}: {error.last}") from error
