"""The user's patches: which files of the kernel they touch, and whether they apply."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from unidiff.errors import UnidiffParseError
from unidiff.patch import PatchedFile, PatchSet

from harness.artifacts.run_tool import CommandFailed, run_tool
from harness.model.errors import UsageError

# Files below these folders are in no kernel and no module.
_BESIDE = ("Documentation/", "LICENSES/", "samples/", "tools/")
_NO_CODE = (".rst", ".txt", ".md", "MAINTAINERS", "CREDITS", ".gitignore", ".mailmap")
_NOWHERE = "/dev/null"
_ARGV = ("patch", "-p1", "--fuzz=0", "--batch", "--forward", "--no-backup-if-mismatch", "-i")


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """A patch file: `text` has its changes of code, `touched` the paths of those files, `gone` the deleted files."""

    path: Path
    text: str
    touched: tuple[str, ...]
    gone: tuple[str, ...] = ()


def read_patch(path: Path) -> Patch:
    """The patch in a file, also in a mail or a mailbox; raises UsageError if it is not a patch, or changes no code."""
    try:
        parsed = PatchSet(path.read_text(encoding="utf-8", errors="surrogateescape"))
    except OSError as error:
        raise UsageError(f"patch {path} cannot be read: {error.strerror}") from error
    except UnidiffParseError as error:
        raise UsageError(f"patch {path} is damaged: {error}") from error
    files = [file for file in parsed if _is_code(_path_of(file))]
    if not files:
        what = "changes no code" if len(parsed) else "is no patch: it has no hunk of a unified diff"
        raise UsageError(f"patch {path} {what}; make one with git diff or git format-patch")
    strange = next((file for file in files if "/" not in _path_of(file)), None)
    if strange is not None:
        raise UsageError(f"patch {path}: {_path_of(strange)} is at the top of the tree, which no module is made of")
    return Patch(
        path=path,
        text="".join(map(str, files)),
        touched=tuple(dict.fromkeys(map(_path_of, files))),
        gone=tuple(_path_of(file) for file in files if file.is_removed_file),
    )


def apply(patch: Patch, tree: Path, source: str, log: Path) -> None:
    """Apply `patch` to `tree`, the tree of `source`; raises UsageError that names the file and the hunk."""
    file = tree / ".harness.patch"
    file.write_text(patch.text, encoding="utf-8", errors="surrogateescape")
    said: list[str] = []
    try:
        run_tool([*_ARGV, str(file)], log=log, cwd=tree, on_line=said.append)
    except CommandFailed as error:
        raise UsageError(f"patch {patch.path} does not apply to {source}: {_where(said) or error.last}") from error
    finally:
        file.unlink()


def _where(said: Sequence[str]) -> str:
    """The first complaint of patch(1), in our words."""
    name = ""
    for line in said:
        if begun := re.match(r"patching file '?(.+?)'?$", line):
            name = begun[1]
        if failed := re.match(r"Hunk #(\d+) FAILED at (\d+)", line):
            return f"{name}, hunk {failed[1]}, line {failed[2]}"
        if "previously applied" in line:
            return f"{name} has that change already"
        if missing := re.match(r"\|\+\+\+ \w/(\S+)", line):
            return f"it has no {missing[1]}"
    return ""


def _path_of(file: PatchedFile) -> str:
    """From the top of the tree, as `patch -p1` takes it."""
    name = file.source_file if file.target_file == _NOWHERE else file.target_file
    return name.partition("/")[2] or name


def _is_code(path: str) -> bool:
    return not path.startswith(_BESIDE) and not path.endswith(_NO_CODE)


def touched_by(patches: Sequence[Patch]) -> Iterator[tuple[Patch, str]]:
    """Each touched file that exists when all patches are applied, with the last patch that touches it."""
    last = {path: patch for patch in patches for path in patch.touched}
    return ((patch, path) for path, patch in last.items() if path not in patch.gone)
