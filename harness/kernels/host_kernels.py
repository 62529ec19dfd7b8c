"""The kernels of the hosts of a topology, and the modules that a host gets beside or in place of its kernel's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from harness.artifacts.recipes import read_recipe, vm_images
from harness.kernels.custom_kernels import find_kernel
from harness.kernels.kernel_checks import check_module
from harness.kernels.kernels import Kernel
from harness.kernels.module_set import ModulesRecipe, boot_order, find_module
from harness.kernels.module_variants import build_variant, read_variant
from harness.kernels.patched_modules import build_patched
from harness.kernels.preflight import check_kernel
from harness.model.errors import UsageError
from harness.model.observe import Progress
from harness.model.settings import Settings
from harness.model.topology import Host


def kernels_for(
    settings: Settings, hosts: Iterable[Host], progress: Progress, needs: Mapping[str, Sequence[str]]
) -> dict[str, Kernel]:
    """The kernel of each host, by its name; each is found once, and has all that its hosts need.

    `needs` are modules and options that a host's kernel must have besides what every guest needs. Raises UsageError for
    a kernel that lacks one.
    """
    users: dict[tuple[str, str], list[Host]] = {}
    for host in hosts:
        users.setdefault((host.kernel, host.modules_from), []).append(host)
    kernels = {}
    for (name, modules_from), of_it in users.items():
        kernel = find_kernel(settings, name, progress, modules_from=modules_from)
        check_kernel(kernel, {host.name: needs.get(host.name, ()) for host in of_it}, progress)
        kernels.update({host.name: kernel for host in of_it})
    return kernels


def replacements(settings: Settings, host: Host, kernel: Kernel, progress: Progress) -> dict[str, Path]:
    """The modules of a host that replace its kernel's own: path below /lib/modules/<release> → file.

    Raises UsageError for a module or patch that does not fit.
    """
    replaced = {}
    for name in host.modules:
        if _is_own(name):
            continue
        file = Path(name) if name.endswith(".ko") else build_variant(settings, kernel, name, progress)
        replaced[_place_of(file, kernel)] = file
    for file in build_patched(settings, kernel, host.patches, progress) if host.patches else ():
        path = _place_of(file, kernel)
        if path in replaced:
            problem = f"host {host.name}: {path} is touched by a patch, and replaced by {replaced[path]} as well"
            raise UsageError(f"{problem}; leave out one of them")
        replaced[path] = file
    return replaced


def _place_of(file: Path, kernel: Kernel) -> str:
    """The path of the module that `file` replaces; raises UsageError if that is loaded too early to be replaced."""
    path = find_module(kernel.modules_dir, check_module(file, kernel.release).name)
    recipe = read_recipe(vm_images() / "modules.toml", ModulesRecipe)
    if kernel.modules_dir / path in boot_order(kernel.modules_dir, recipe):
        hint = "build a kernel with it, and give that with --kernel"
        raise UsageError(f"{path} is loaded from the initramfs, before any module can be replaced; {hint}")
    return path


def own_modules(settings: Settings, host: Host, kernel: Kernel, progress: Progress) -> dict[str, Path]:
    """The modules of a host that replace none and that only a fault loads: name → file."""
    names = filter(_is_own, host.modules)
    return {read_variant(name).module: build_variant(settings, kernel, name, progress) for name in names}


def _is_own(name: str) -> bool:
    return not name.endswith(".ko") and read_variant(name).is_own
