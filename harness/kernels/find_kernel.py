"""Kernels of the user's own: a built tree, a boot image with its modules, or a Debian package."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from typing import Protocol

from harness.kernels.kernel_checks import check_kernel_image
from harness.kernels.kernel_debs import is_package, package_version, parts_beside, unpack_kernel
from harness.kernels.module_sources import (
    InstalledModules,
    ModuleSource,
    TreeModules,
    find_installed,
    fingerprint_of,
    modules_at,
)
from harness.model.errors import UsageError

# The boot image of a folder: of a built tree, or of a root that a kernel was installed to.
_IMAGES = ("arch/x86/boot/bzImage", "boot/vmlinuz-*", "vmlinuz-*", "boot/vmlinuz", "vmlinuz", "bzImage")
# Where modules are, seen from the boot image: `make modules_install INSTALL_MOD_PATH=` beside it, an unpacked
# package (boot/vmlinuz-…, lib/modules), a source tree (arch/x86/boot/bzImage) with an INSTALL_MOD_PATH at its top.
_ROOTS = (".", "..", "../../..")


@dataclass(frozen=True, slots=True, kw_only=True)
class Laid:
    """A kernel laid out: its boot image, its release, its configuration if there is one."""

    vmlinuz: Path
    release: str
    version: str
    config: Path | None


class Origin(Protocol):
    """A kernel somewhere on this machine."""

    def key(self) -> dict[str, str]:
        """The part of the cache key that identifies it; quick to compute."""

    def lay_out(self, root: Path, log: Path) -> Laid:
        """Fill `root`/lib/modules/<release> with its modules, if it has any; raises UsageError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BootImage:
    """A boot image; `version` is its version string. Without `modules`, all that a guest needs is built in."""

    vmlinuz: Path
    version: str
    config: Path | None
    modules: ModuleSource | None

    @property
    def release(self) -> str:
        """What `uname -r` will say."""
        return self.version.split()[0]

    def key(self) -> dict[str, str]:
        """See `Origin.key`."""
        modules = self.modules.fingerprint() if self.modules else ""
        config = _hash(self.config) if self.config else ""
        return {"vmlinuz": _hash(self.vmlinuz), "modules": modules, "config": config}

    def lay_out(self, root: Path, log: Path) -> Laid:
        """See `Origin.lay_out`."""
        if self.modules is not None:
            self.modules.stage(root, self.release, log)
        return Laid(vmlinuz=self.vmlinuz, release=self.release, version=self.version, config=self.config)


@dataclass(frozen=True, slots=True)
class Package:
    """A package file; if its kernel is in several packages, the others are beside it."""

    path: Path

    def key(self) -> dict[str, str]:
        """See `Origin.key`."""
        return {"package": fingerprint_of(self.path.parent, parts_beside(self.path))}

    def lay_out(self, root: Path, log: Path) -> Laid:
        """See `Origin.lay_out`."""
        kernel = unpack_kernel(parts_beside(self.path), root, log)
        version = package_version(self.path)
        return Laid(vmlinuz=kernel.vmlinuz, release=kernel.release, version=version, config=kernel.config)


def find_origin(path: Path, modules_from: str = "") -> Origin:
    """The kernel at `path`, with the modules at `modules_from`, else with those found near it.

    Raises UsageError if it is not a kernel, if a tree is not built, or if the modules are another kernel's.
    """
    if path.is_dir():
        return _image(_image_in(path), modules_from)
    if path.is_file() and is_package(path):
        if modules_from:
            raise UsageError(f"kernel {path} is a package, which has its modules in it; leave out {modules_from}")
        return Package(path)
    return _image(path, modules_from)


def _image_in(folder: Path) -> Path:
    found = next((images for images in (sorted(folder.glob(name)) for name in _IMAGES) if images), [])
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(str(image.relative_to(folder)) for image in found)
        raise UsageError(f"kernel {folder} has {len(found)} boot images; name one: {names}")
    hint = "run make bzImage in it" if (folder / "Kconfig").exists() or (folder / ".config").exists() else "name one"
    raise UsageError(f"kernel {folder} has no boot image (arch/x86/boot/bzImage, vmlinuz); {hint}")


def _image(vmlinuz: Path, modules_from: str) -> BootImage:
    version = check_kernel_image(vmlinuz)
    release = (version.split() or [""])[0]
    if not release:
        raise UsageError(f"kernel {vmlinuz} does not say its release")
    config = _config_of(vmlinuz, release)
    modules = modules_at(Path(modules_from), release) if modules_from else _modules_near(vmlinuz, release, config)
    return BootImage(vmlinuz=vmlinuz, version=version, config=config, modules=modules)


def _modules_near(vmlinuz: Path, release: str, config: Path | None) -> ModuleSource | None:
    tree = _tree_of(vmlinuz)
    if tree is not None and (tree / "modules.order").exists():
        return TreeModules(tree)
    for root in _ROOTS:
        found = find_installed((vmlinuz.resolve().parent / root / "lib/modules").resolve(), release)
        if found is not None:
            return InstalledModules(found)
    if tree is not None and config is not None and re.search(r"^CONFIG_MODULES=y$", config.read_text(), re.MULTILINE):
        raise UsageError(f"kernel {tree} has no modules.order: its modules are not built; run make in it")
    return None


def _tree_of(vmlinuz: Path) -> Path | None:
    """The top of the built tree that a boot image is in, or None."""
    place = vmlinuz.resolve()
    if not place.match("arch/*/boot/bzImage"):
        return None
    return place.parents[3]


def _config_of(vmlinuz: Path, release: str) -> Path | None:
    """The configuration of a boot image: beside it, with its modules in a package, or at the top of its tree."""
    tree = _tree_of(vmlinuz)
    places = [vmlinuz.with_name(f"config-{release}"), vmlinuz.with_name("config"), vmlinuz.with_name(".config")]
    places += [tree / ".config"] if tree is not None else []
    return next((path for path in places if path.is_file()), None)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
