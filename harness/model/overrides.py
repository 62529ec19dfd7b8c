"""Overrides of the hosts of a case: one side of a comparison, or one value of a run's axis.

As text, they are words as a shell splits them: `kernel=debian:13 module=./nbd.ko cmdline='slub_debug=FZP quiet'`. A
word without `=` is a kernel, and `stock` changes nothing.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

from harness.model.errors import UsageError
from harness.model.sizes import format_size, parse_size
from harness.model.topology import Host, Topology

WORD = "stock"


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineOverrides:
    """Changes to every host of a topology, or to the one that plays `role`.

    `kernel` is a distribution's (`debian:13`), or the path of a built tree, a boot image or a package. `modules` is a
    folder or tar file with the modules of a bare boot image. `module` lists `.ko` files or variants that replace single
    modules. `patch` lists patch files; the modules that they touch are rebuilt. `memory` is in bytes. `cmdline` is
    added to the host's own.
    """

    kernel: str | None = None
    modules: str | None = None
    module: tuple[str, ...] = ()
    patch: tuple[str, ...] = ()
    cmdline: str | None = None
    memory: int | None = None
    cpus: int | None = None
    role: str | None = None

    def __str__(self) -> str:
        """The overrides as text, which `parse_overrides` reads."""
        words = [f"{name}={text}" for name in NAMES for text in self._texts(name)]
        return shlex.join(words) or WORD

    def _texts(self, name: str) -> list[str]:
        value = getattr(self, name)
        if value is None:
            return []
        if isinstance(value, tuple):
            return list(value)
        return [format_size(value) if name == "memory" else str(value)]

    def apply(self, topology: Topology) -> Topology:
        """The topology with its hosts changed; raises UsageError, which lists the roles, if it has no such role."""
        if self.role is not None and self.role not in topology.roles:
            roles = ", ".join(sorted(topology.roles))
            raise UsageError(f"no role {self.role!r} in topology {topology.name!r}; its roles are: {roles}")
        only = None if self.role is None else topology.roles[self.role]
        hosts = tuple(self._changed(host) if only in (None, host.name) else host for host in topology.hosts)
        return replace(topology, hosts=hosts)

    def _changed(self, host: Host) -> Host:
        return replace(
            host,
            kernel=self.kernel or host.kernel,
            modules_from=self.modules or host.modules_from,
            modules=(*host.modules, *self.module),
            patches=(*host.patches, *self.patch),
            cmdline=f"{host.cmdline} {self.cmdline or ''}".strip(),
            memory=self.memory or host.memory,
            cpus=self.cpus or host.cpus,
        )


STOCK = MachineOverrides()
NAMES = tuple(field.name for field in fields(MachineOverrides))
SEVERAL = ("module", "patch")


def parse_overrides(text: str, *, base: Path, place: str) -> MachineOverrides:
    """The overrides that `text` describes; relative paths start at `base`.

    Raises UsageError that begins with `place`, such as "--a", for unknown words and missing files.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UsageError(f"{place}: {text!r}: {error}") from error
    given: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            name, value = "kernel", word
        if name not in NAMES:
            raise UsageError(f"{place}: unknown word {name!r}; the words are: {', '.join(NAMES)}, {WORD}")
        if word == WORD:
            continue
        if name in given and name not in SEVERAL:
            raise UsageError(f"{place}: {name} is given twice")
        given[name] = f"{given[name]} {shlex.quote(value)}" if name in given else _quoted(name, value)
    return make_overrides(given, base=base, place=lambda name: place)


def _quoted(name: str, value: str) -> str:
    return shlex.quote(value) if name in SEVERAL else value


def make_overrides(given: Mapping[str, str], *, base: Path, place: Callable[[str], str]) -> MachineOverrides:
    """Overrides from texts by name; several modules or patches are words of one text. Raises as `parse_overrides`."""
    readers: dict[str, Callable[[str, Path], object]] = {
        "kernel": _kernel,
        "modules": _file,
        "module": lambda text, base: tuple(_module(word, base) for word in shlex.split(text)),
        "patch": lambda text, base: tuple(_file(word, base) for word in shlex.split(text)),
        "cmdline": lambda text, base: text,
        "memory": lambda text, base: parse_size(text),
        "cpus": lambda text, base: _count(text),
        "role": lambda text, base: text,
    }
    values: dict[str, object] = {}
    for name, text in given.items():
        try:
            values[name] = readers[name](text, base)
        except ValueError as error:
            raise UsageError(f"{place(name)}: {name} {text!r} {error}") from error
    return MachineOverrides(**values)  # type: ignore[arg-type]


def _kernel(text: str, base: Path) -> str:
    if "/" not in text and not (base / text).exists():
        return text  # a distribution's; `kernels.fetch_kernel` checks the name
    return _file(text, base)


def _module(text: str, base: Path) -> str:
    return _file(text, base) if text.endswith(".ko") else text


def _file(text: str, base: Path) -> str:
    path = base / Path(text).expanduser()
    if not path.exists():
        raise ValueError("is not there")
    return str(path)


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not int(text):
        raise ValueError("is no number of processors; write 1 or more")
    return int(text)
