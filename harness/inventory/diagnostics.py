"""Problems of an inventory file, one line each: the place, the problem, and the way out."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.model.errors import InventoryError, UsageError

Loc = tuple[str | int, ...]

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]{1,60}")
_LISTED = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One problem at `loc`, the keys and indices that lead to it; `hint` is the way out."""

    loc: Loc
    problem: str
    hint: str


def shown(value: object) -> str:
    """A value of the file, quoted, on one line, of bounded length, without control characters."""
    text = ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."


def shown_path(path: Path) -> str:
    """A path on one line, quoted only if it has to be."""
    text = str(path)
    return text if text.isprintable() else ascii(text)


def names(known: Iterable[str]) -> str:
    """Names as a list for a message; a long list is cut short."""
    listed = [name if _BARE_KEY.fullmatch(name) else shown(name) for name in known]
    if len(listed) > _LISTED:
        listed = [*listed[:_LISTED], f"and {len(listed) - _LISTED} more"]
    return ", ".join(listed) if listed else "none"


def nearest(name: str, known: Sequence[str], *, plural: str) -> str:
    """The way out for an unknown name: the nearest known one, or all of them."""
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"did you mean {shown(close[0])}?"
    return f"the {plural} are: {names(known)}" if known else f"there are no {plural}"


def place(loc: Loc, document: Mapping[str, Any]) -> str:
    """A place in the file, such as `host[1] "storage": memory`."""
    if len(loc) < 2 or not isinstance(loc[1], int):
        return _dotted(loc)
    table, inner = f"{loc[0]}[{loc[1]}]", _dotted(loc[2:])
    label = _label(document, loc)
    return f"{table}{label}: {inner}" if inner else f"{table}{label}"


def _dotted(loc: Loc) -> str:
    text = ""
    for step in loc:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += ("." if text else "") + (step if _BARE_KEY.fullmatch(step) else shown(step))
    return text


def _label(document: Mapping[str, Any], loc: Loc) -> str:
    try:
        name = document[str(loc[0])][loc[1]]["name"]
    except (KeyError, IndexError, TypeError):
        return ""
    return " " + json.dumps(name[:40]) if isinstance(name, str) else ""


def failure(path: Path, problems: Sequence[Problem], document: Mapping[str, Any]) -> UsageError:
    """The error of one or more problems: one line each, in the order of the file."""
    errors = [
        InventoryError(
            path=shown_path(path), place=place(problem.loc, document), problem=problem.problem, hint=problem.hint
        )
        for problem in sorted(problems, key=_order)
    ]
    return errors[0] if len(errors) == 1 else UsageError("\n".join(str(error) for error in errors))


def _order(problem: Problem) -> tuple[str, int]:
    loc = problem.loc
    index = loc[1] if len(loc) > 1 else -1
    return (str(loc[0]) if loc else "", index if isinstance(index, int) else -1)
