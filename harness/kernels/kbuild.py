"""Maps files of the kernel's source to modules, by having make read the kernel's Makefiles."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from harness.artifacts.run_tool import CommandFailed, read_tool

_NAMES = ("Kbuild", "Makefile")
# make reads the Makefile of a folder with the kernel's configuration, and prints one line per object: its kind, its
# name, and its parts.
_ASK = """\
.DEFAULT_GOAL := harness-ask
srctree := .
objtree := .
src := {folder}
obj := {folder}
include {config}
include {file}
parts = $($(1)-objs) $($(1)-y) $($(1)-m)
$(foreach o,$(filter %.o,$(obj-m)),$(info module $(o:.o=) $(call parts,$(o:.o=))))
$(foreach o,$(filter %.o,$(obj-y) $(lib-y)),$(info core $(o:.o=) $(call parts,$(o:.o=))))
.PHONY: harness-ask
harness-ask: ; @:
"""
_INCLUDE = re.compile(rb"^\s*#\s*include\s*([\"<])([^\">]+)[\">]", re.MULTILINE)
CORE = ""  # in place of a module's name


@dataclass(frozen=True, slots=True, order=True)
class Built:
    """The target that a file is linked into: the module `name`, built in `folder`, or CORE: the kernel itself."""

    folder: str
    name: str


class Makefiles:
    """The Makefiles of the source below `top`, as a kernel with that `config` reads them."""

    def __init__(self, top: Path, config: Path) -> None:
        self._top = top
        self._config = config
        self._folders: dict[str, Mapping[str, Built]] = {}

    def built_from(self, path: str) -> set[Built]:
        """The targets that the file `path` is linked into; none if the configuration leaves it out."""
        if PurePosixPath(path).name in _NAMES:
            return set(self._objects(str(PurePosixPath(path).parent)).values())
        if path.endswith(".h"):
            return {built for user in self._users(path) for built in self._of_source(user)}
        return set(self._of_source(path))

    def _of_source(self, path: str) -> Iterator[Built]:
        """Targets from the nearest folder above whose Makefile names the object: fs/xfs has those of fs/xfs/libxfs."""
        target = str(PurePosixPath(path).with_suffix(".o"))
        for folder in list(PurePosixPath(path).parents)[:-1]:
            built = self._objects(str(folder)).get(target)
            if built is not None:
                yield built
                return

    def _objects(self, folder: str) -> Mapping[str, Built]:
        """Every object that a folder's Makefile names, with its target."""
        if folder not in self._folders:
            self._folders[folder] = dict(self._read(folder))
        return self._folders[folder]

    def _read(self, folder: str) -> Iterator[tuple[str, Built]]:
        file = file_of(self._top / folder)
        if file is None:
            return
        question = self._top / ".harness-ask.mk"
        text = _ASK.format(folder=folder, file=file.relative_to(self._top), config=self._config.resolve())
        question.write_text(text, encoding="utf-8")
        try:
            answer = read_tool(["make", "-s", "-C", str(self._top), "-f", question.name])
        except CommandFailed:
            return  # it needs more of kbuild than its configuration, as some of arch/ do; it has no module of ours
        finally:
            question.unlink()
        for line in answer.splitlines():
            kind, name, *parts = line.split()
            built = Built(folder, name if kind == "module" else CORE)
            for part in [part for part in parts if part.endswith(".o")] or [f"{name}.o"]:
                yield f"{folder}/{part}", built

    def _users(self, header: str) -> set[str]:
        """The sources that include `header`, directly or through other headers."""
        found, wanted = set[str](), {header}
        while wanted:
            wanted = {path for path, included in self._includes.items() if included & wanted} - found
            found |= wanted
        return {path for path in found if path.endswith((".c", ".S"))}

    @cached_property
    def _includes(self) -> Mapping[str, set[str]]:
        """For every file with code: the headers of the tree that it includes."""
        return {path: set(self._included(path)) for path in self._paths}

    @cached_property
    def _paths(self) -> list[str]:
        return [str(path.relative_to(self._top)) for path in self._top.rglob("*.[chS]")]

    @cached_property
    def _headers(self) -> Mapping[str, list[str]]:
        """Paths of headers by their bare names."""
        named: dict[str, list[str]] = {}
        for path in self._paths:
            if path.endswith(".h"):
                named.setdefault(PurePosixPath(path).name, []).append(path)
        return named

    def _included(self, path: str) -> Iterator[str]:
        """Resolved as the compiler does: beside the file if in quotes, else through an -I of its own subsystem."""
        folder, subsystem = posixpath.dirname(path), path.split("/")[:2]
        for quote, text in _INCLUDE.findall((self._top / path).read_bytes()):
            name = text.decode("utf-8", "replace")
            known = self._headers.get(posixpath.basename(name), [])
            beside = posixpath.normpath(f"{folder}/{name}")
            if quote == b'"' and beside in known:
                yield beside
            else:
                yield from (one for one in known if one.endswith(f"/{name}") and one.split("/")[:2] == subsystem)


def file_of(folder: Path) -> Path | None:
    """The Kbuild file or Makefile of `folder`, if it has one."""
    return next((path for path in (folder / name for name in _NAMES) if path.is_file()), None)


def _included(path: Path) -> set[str]:
    return {PurePosixPath(name.decode()).name for name in _INCLUDE.findall(path.read_bytes())}
