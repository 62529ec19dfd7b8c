"""Modules for a host that somebody owns: which of a kernel's modules its devices need, and which of them early."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

from harness.kernels.module_set import closure, module_name, plain, read_dependencies

# Asked for by name when a file system is mounted, and an initramfs has no modprobe to answer.
_BEHIND = {"ext4": ("crc32c_generic",), "btrfs": ("crc32c_generic", "xxhash_generic"), "xfs": ("crc32c_generic",)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a host needs of a kernel: names of modules, and modaliases of its devices.

    The `early` ones lead to its root file system, in the order of the devices, with the `fstype` of that.
    """

    names: tuple[str, ...]
    modaliases: tuple[str, ...]
    early_names: tuple[str, ...]
    early_modaliases: tuple[str, ...]
    fstype: str


@dataclass(frozen=True)
class ModuleIndex:
    """The indexes of a module folder that depmod left there."""

    folder: Path
    depends: dict[str, tuple[str, ...]] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "depends", read_dependencies(self.folder))

    @cached_property
    def _paths(self) -> dict[str, str]:
        return {module_name(path): path for path in self.depends}

    @cached_property
    def _aliases(self) -> list[tuple[str, str, str]]:
        """Of each alias: what it begins with, its pattern, and the path of its module."""
        lines = (line.split() for line in _lines(self.folder / "modules.alias") if line.startswith("alias "))
        return [(_start(words[1]), words[1], self._paths[plain(words[2])]) for words in lines if len(words) == 3]

    @cached_property
    def _before(self) -> dict[str, list[str]]:
        """Name of a module → names that are to be loaded before it, though it does not depend on them."""
        words = (line.split() for line in _lines(self.folder / "modules.softdep") if line.startswith("softdep "))
        return {plain(line[1]): _pre(line[2:]) for line in words}

    def named(self, name: str) -> list[str]:
        """Paths of the module `name`, or of those that have it as an alias; none if it is built in or missing."""
        path = self._paths.get(plain(name))
        return [path] if path is not None else self.driving(name)

    def driving(self, modalias: str) -> list[str]:
        """Paths of the modules that say they drive the device `modalias`."""
        found = (
            path
            for start, pattern, path in self._aliases
            if modalias.startswith(start) and fnmatchcase(modalias, pattern)
        )
        return list(dict.fromkeys(found))

    def all_of(self, wanted: Wanted) -> set[str]:
        """Paths of all modules that the host needs of this kernel, without what they depend on."""
        return {*self._found(wanted.names, wanted.modaliases), *self.early(wanted)}

    def early(self, wanted: Wanted) -> list[str]:
        """Paths of the modules that lead to the root file system, in the order to load them."""
        last = (wanted.fstype, *_BEHIND.get(wanted.fstype, ()))
        found = [*self._found(wanted.early_names, wanted.early_modaliases), *self._found(last, ())]
        before = [path for module in closure(found, self.depends) for path in self._soft(module)]
        return closure([*before, *found], self.depends)

    def _found(self, names: Sequence[str], modaliases: Sequence[str]) -> Iterator[str]:
        for modalias in modaliases:
            yield from self.driving(modalias)
        for name in names:
            yield from self.named(name)

    def _soft(self, path: str) -> Iterator[str]:
        for name in self._before.get(module_name(path), ()):
            yield from self.named(name)


def _start(pattern: str) -> str:
    """What a pattern begins with before anything in it is variable."""
    ends = [place for place in map(pattern.find, "*?[") if place >= 0]
    return pattern[: min(ends)] if ends else pattern


def _pre(words: Iterable[str]) -> list[str]:
    """The names after `pre:` in `pre: a b post: c`."""
    names: list[str] = []
    taken = False
    for word in words:
        if word.endswith(":"):
            taken = word == "pre:"
        elif taken:
            names.append(word.rstrip(","))
    return names


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []
