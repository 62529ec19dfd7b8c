"""What guests are made of: image, kernels, replaced modules and the accelerator, found or built before any boots."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.model.observe import Progress
from harness.model.settings import Settings
from harness.model.topology import Host
from harness.targets.accelerator import find_accelerator
from harness.targets.images import Image, build_image
from harness.targets.kernel_files import check_module
from harness.targets.kernels import Kernel, fetch_kernel
from harness.targets.module_tree import find_module
from harness.targets.modules import build_variant, read_variant, variant_names
from harness.targets.own_kernels import find_kernel
from harness.targets.recipes import vm_images

IMAGE_RECIPE = "debian12.toml"
DEFAULT_KERNEL = "debian:12"


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Everything that one host boots from.

    `modules`: path below /lib/modules/<release> → the file that replaces it. `own_modules`: name → file of a module
    that replaces none, and that nobody loads before a fault does.
    """

    image: Image
    kernel: Kernel
    modules: Mapping[str, Path]
    accelerator: str
    own_modules: Mapping[str, Path] = field(default_factory=dict)


def machines_for(settings: Settings, hosts: Iterable[Host], progress: Progress) -> dict[str, Machine]:
    """What each host boots from, by its name; builds what is missing.

    Raises UsageError for a kernel or a module that does not fit, HostEnvironmentError for what this machine lacks.
    """
    image = build_image(settings, vm_images() / IMAGE_RECIPE, progress)
    kernels: dict[str, Kernel] = {}
    machines = {}
    for host in hosts:
        if host.kernel not in kernels:
            kernels[host.kernel] = find_kernel(settings, host.kernel, progress)
        kernel = kernels[host.kernel]
        machines[host.name] = Machine(
            image=image,
            kernel=kernel,
            modules=_replacements(settings, host, kernel, progress),
            accelerator=find_accelerator(settings, kernel, progress),
            own_modules=_own_modules(settings, host, kernel, progress),
        )
    return machines


def prepare(settings: Settings, progress: Progress, *, refresh: bool = False) -> None:
    """Build all that the shipped cases need; with `refresh` from the archive's newest packages."""
    kernel = fetch_kernel(settings, DEFAULT_KERNEL, progress, refresh=refresh)
    build_image(settings, vm_images() / IMAGE_RECIPE, progress, refresh=refresh)
    for name in variant_names():
        build_variant(settings, kernel, name, progress)
    find_accelerator(settings, kernel, progress)


def _replacements(settings: Settings, host: Host, kernel: Kernel, progress: Progress) -> dict[str, Path]:
    replaced = {}
    for name in host.modules:
        if _is_own(name):
            continue
        file = Path(name) if name.endswith(".ko") else build_variant(settings, kernel, name, progress)
        module = check_module(file, kernel.release)
        replaced[find_module(kernel.modules_dir, module.name)] = file
    return replaced


def _own_modules(settings: Settings, host: Host, kernel: Kernel, progress: Progress) -> dict[str, Path]:
    names = filter(_is_own, host.modules)
    return {read_variant(name).module: build_variant(settings, kernel, name, progress) for name in names}


def _is_own(name: str) -> bool:
    return not name.endswith(".ko") and read_variant(name).is_own
