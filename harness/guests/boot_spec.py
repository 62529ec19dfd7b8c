"""Boot specifications of guests: image, kernels, replaced modules, accelerator; found or built before any boots."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.artifacts.images import Image, build_image
from harness.artifacts.recipes import vm_images
from harness.guests.accelerator import find_accelerator
from harness.kernels.host_kernels import own_modules, replacements
from harness.kernels.kernels import Kernel, fetch_kernel
from harness.kernels.module_variants import build_variant, variants_for
from harness.model.observe import Progress
from harness.model.settings import Settings
from harness.model.topology import Host

IMAGE_RECIPE = "debian12.toml"
DEFAULT_KERNEL = "debian:12"


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Everything that one host boots from.

    `modules`: path below /lib/modules/<release> → the file that replaces it. `own_modules`: name → file of a module
    that replaces none, and that only a fault loads.
    """

    image: Image
    kernel: Kernel
    modules: Mapping[str, Path]
    accelerator: str
    own_modules: Mapping[str, Path] = field(default_factory=dict)


def machines_for(
    settings: Settings, hosts: Iterable[Host], kernels: Mapping[str, Kernel], progress: Progress
) -> dict[str, Machine]:
    """What each host boots from, by its name, with the kernels of `host_kernels.kernels_for`; builds what is missing.

    Raises UsageError for a module or patch that does not fit, HostEnvironmentError for what this machine lacks.
    """
    image = build_image(settings, vm_images() / IMAGE_RECIPE, progress)
    machines = {}
    for host in hosts:
        kernel = kernels[host.name]
        machines[host.name] = Machine(
            image=image,
            kernel=kernel,
            modules=replacements(settings, host, kernel, progress),
            accelerator=find_accelerator(settings, kernel, progress),
            own_modules=own_modules(settings, host, kernel, progress),
        )
    return machines


def prepare(settings: Settings, progress: Progress, *, refresh: bool = False) -> None:
    """Build the image, the kernel that cases get by default, and all its variants; others are built on demand.

    With `refresh`, from the archive's newest packages.
    """
    kernel = fetch_kernel(settings, DEFAULT_KERNEL, progress, refresh=refresh)
    build_image(settings, vm_images() / IMAGE_RECIPE, progress, refresh=refresh)
    for name in variants_for(kernel.series):
        build_variant(settings, kernel, name, progress)
    find_accelerator(settings, kernel, progress)
