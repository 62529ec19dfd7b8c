"""Folders of a run and their names."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from pathlib import Path

from harness.model.errors import UsageError
from harness.results.files import disk_errors

TRIES = 1000  # names of one kind in one folder
_NAME_LIMIT = 100  # a folder name may have 255 bytes; the rest is left for suffixes and readers


def folder_name(name: str) -> str:
    """`name` as a folder name: letters, digits, dots and dashes only, never empty or hidden, bounded.

    A pytest node id loses its folders and `.py`.
    """
    file, separator, rest = name.partition("::")
    if separator:
        name = f"{file.rpartition('/')[2].removesuffix('.py')}.{rest}"
    safe = re.sub(r"[^A-Za-z0-9._]+", "-", name.replace("::", "."))
    return safe[:_NAME_LIMIT].strip(".-") or "unnamed"


def new_folder(candidates: Sequence[Path]) -> Path:
    """Make and return the first candidate that does not exist yet."""
    for path in candidates:
        with disk_errors(path), contextlib.suppress(FileExistsError):
            path.mkdir()
            return path
    raise UsageError(f"{candidates[0].parent}: too many folders called {candidates[0].name}; clear it out")


def renamed(path: Path, name: str) -> Path:
    """Rename `path` to `name`, or to the first of `name-2`, `name-3` … that does not exist yet."""
    names = (name, *(f"{name}-{n}" for n in range(2, TRIES)))
    new = next(path.with_name(free) for free in names if not path.with_name(free).exists())
    with disk_errors(path):
        path.rename(new)
    return new


def made(folder: Path) -> Path:
    """Make `folder` if it is missing, and return it."""
    with disk_errors(folder):
        folder.mkdir(exist_ok=True)
    return folder
