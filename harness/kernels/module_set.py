"""The modules that guests get: a subset of a kernel's modules that is closed under their dependencies."""

from __future__ import annotations

import gzip
import lzma
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path, PurePosixPath

from harness.artifacts.recipes import Recipe
from harness.artifacts.run_tool import find_tool, run_tool
from harness.model.errors import UsageError

_SUFFIX = re.compile(r"\.ko(\.xz|\.zst|\.gz)?$")
# Lists all modules of a kernel, also those left out of guests, so that an error can say why a module is missing.
ORDER = "modules.order"
BUILT_IN = "modules.builtin"
STRIPPED_AT_ONCE = 200


class ModulesRecipe(Recipe):
    """Which modules guests get, and which of them from the initramfs; vm-images/modules.toml explains."""

    keep: tuple[str, ...]
    leave_out: tuple[str, ...] = ()
    keep_anyway: tuple[str, ...] = ()
    boot: tuple[str, ...]


def reduce_modules(full: Path, reduced: Path, release: str, recipe: ModulesRecipe, log: Path) -> None:
    """Fill `reduced`/lib/modules/<release> from `full`/lib/modules/<release>: kept modules, uncompressed, and indexes.

    Both are roots as depmod's `-b` takes them. Raises CommandFailed if depmod fails.
    """
    source = full / "lib/modules" / release
    if not (source / "modules.dep").exists():
        # depmod runs only when a package is installed.
        run_tool(["depmod", "-b", str(full), release], log=log)
    copy_modules(full, reduced, release, select(read_dependencies(source), recipe), log)
    run_tool(["depmod", "-b", str(reduced), release], log=log)


def copy_modules(full: Path, reduced: Path, release: str, wanted: set[str], log: Path) -> None:
    """Copy the modules `wanted`, and those that they need, from one root to another, uncompressed; no indexes."""
    source = full / "lib/modules" / release
    target = reduced / "lib/modules" / release
    depends = read_dependencies(source)
    copies = {target / uncompressed(path): source / path for path in closure(wanted, depends)}
    _strip([copy for copy, original in copies.items() if _copy_uncompressed(original, copy)], log)
    target.mkdir(parents=True, exist_ok=True)
    for name in (ORDER, BUILT_IN, "modules.builtin.modinfo"):
        if (source / name).exists():
            shutil.copyfile(source / name, target / name)
    if not (target / ORDER).exists():
        (target / ORDER).write_text("".join(f"{path}\n" for path in depends), encoding="utf-8")


def uncompressed(path: str) -> str:
    """The path of a module file without the ending of its compression."""
    return _SUFFIX.sub(".ko", path)


def read_dependencies(folder: Path) -> dict[str, tuple[str, ...]]:
    """modules.dep of a module folder: path of each module → paths of what it needs."""
    depends = {}
    for line in (folder / "modules.dep").read_text(encoding="utf-8").splitlines():
        path, _, needs = line.partition(":")
        depends[path] = tuple(needs.split())
    return depends


def select(paths: Iterable[str], recipe: ModulesRecipe) -> set[str]:
    """The paths (`kernel/fs/ext4/ext4.ko`) that the patterns of `recipe` keep, and all outside of kernel/."""
    return {path for path in paths if _kept(path, recipe)}


def closure(wanted: Iterable[str], depends: Mapping[str, Sequence[str]]) -> list[str]:
    """`wanted` and all that it needs, each after what it depends on; raises KeyError for an unknown path."""
    order: dict[str, None] = {}

    def add(path: str) -> None:
        if path not in order:
            for need in reversed(depends[path]):
                add(need)
            order[path] = None

    for path in sorted(wanted) if isinstance(wanted, set) else wanted:
        add(path)
    return list(order)


def find_module(folder: Path, name: str) -> str:
    """The path of module `name` below the module folder of a kernel; raises UsageError if it has none."""
    for path in read_dependencies(folder):
        if module_name(path) == plain(name):
            return path
    known = "it is built in" if plain(name) in built_in(folder) else "see vm-images/modules.toml for what guests get"
    raise UsageError(f"kernel {folder.name} has no module {name}: {known}")


def boot_order(folder: Path, recipe: ModulesRecipe) -> list[Path]:
    """Files of the modules that an initramfs loads, in order; a missing one is built in, or preflight reports it."""
    depends = read_dependencies(folder)
    by_name = {module_name(path): path for path in depends}
    wanted = [by_name[plain(name)] for name in recipe.boot if plain(name) in by_name]
    return [folder / path for path in closure(wanted, depends)]


def module_name(path: str) -> str:
    """The name under which the kernel knows the module of a file: `pvpanic-pci.ko.xz` → `pvpanic_pci`."""
    return plain(_SUFFIX.sub("", PurePosixPath(path).name))


def read_module(path: Path) -> bytes:
    """The contents of a module file, uncompressed if its name says how it was compressed; raises UsageError."""
    data = path.read_bytes()
    try:
        if path.suffix == ".xz":
            return lzma.decompress(data)
        if path.suffix == ".gz":
            return gzip.decompress(data)
        return _unzstd(path) if path.suffix == ".zst" else data
    except (lzma.LZMAError, EOFError, OSError, subprocess.CalledProcessError) as error:
        raise UsageError(f"{path}: cannot be uncompressed: {error}") from error


def _unzstd(path: Path) -> bytes:
    done = subprocess.run([find_tool("zstd"), "-dcq", str(path)], capture_output=True, check=True)
    return done.stdout


def _copy_uncompressed(source: Path, target: Path) -> bool:
    """Copy a module uncompressed; returns whether it has debug information."""
    target.parent.mkdir(parents=True, exist_ok=True)
    data = read_module(source)
    target.write_bytes(data)
    return b"\0.debug_info\0" in data


def _strip(modules: Sequence[Path], log: Path) -> None:
    """Strip debug information: a tenfold of the module, in the memory of every guest that loads it early."""
    for first in range(0, len(modules), STRIPPED_AT_ONCE):
        run_tool(["strip", "-g", *map(str, modules[first : first + STRIPPED_AT_ONCE])], log=log)


def built_in(folder: Path) -> set[str]:
    """Names of the modules that are built into the kernel of a module folder, as far as it lists them."""
    return _listed(folder / BUILT_IN)


def all_modules(folder: Path) -> set[str]:
    """Names of all modules of the kernel of a module folder, including those that were left out of it."""
    return _listed(folder / ORDER)


def _listed(listing: Path) -> set[str]:
    return {module_name(line) for line in listing.read_text().splitlines()} if listing.exists() else set()


def plain(name: str) -> str:
    """The name of a module as the kernel spells it: `iscsi-tcp` → `iscsi_tcp`."""
    return name.replace("-", "_")


def _kept(path: str, recipe: ModulesRecipe) -> bool:
    inside = path.removeprefix("kernel/")
    if inside == path:
        return True  # put there on purpose: updates/, extra/
    kept = _matches(inside, recipe.keep) and not _matches(inside, recipe.leave_out)
    return kept or _matches(inside, recipe.keep_anyway)


def _matches(path: str, patterns: Iterable[str]) -> bool:
    return any(_pattern(pattern).fullmatch(path) for pattern in patterns)


@cache
def _pattern(glob: str) -> re.Pattern[str]:
    """`*` stays in one folder, `**` does not."""
    return re.compile("".join(_parts(glob)))


def _parts(glob: str) -> Iterator[str]:
    for part in re.split(r"(\*\*|\*)", glob):
        yield {"**": ".*", "*": "[^/]*"}.get(part) or re.escape(part)
