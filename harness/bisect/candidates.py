"""Candidates of a bisection: sides in order, each with a key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.model.errors import UsageError
from harness.model.overrides import MachineOverrides, parse_overrides
from harness.statistics.orders import Chain, Graph, Order


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One side; `key` is its commit or its number, `side` its text, "" where a commit has yet to be built."""

    key: str
    title: str
    side: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """Sides from the good end to the bad end; `parents` are a tree's, see `Graph`, or empty for a chain."""

    sides: tuple[Candidate, ...]
    parents: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        if len(self.sides) < 2:
            raise UsageError("there is nothing to bisect: the good end and the bad end are the same")

    @property
    def order(self) -> Order:
        """The order: which sides each culprit makes bad."""
        return Graph(self.parents) if self.parents else Chain(len(self.sides))

    def to_dict(self) -> dict[str, Any]:
        """The candidates as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Candidates:
        """What `to_dict` wrote; raises KeyError or TypeError on anything else."""
        sides = tuple(Candidate(**side) for side in record["sides"])
        return cls(sides=sides, parents=tuple(tuple(above) for above in record["parents"]))


def read_list(path: Path, *, good: str | None, bad: str | None) -> Candidates:
    """The sides of a file, one per line; blank lines and comments (#) are left out.

    `good` and `bad` are line numbers, by default of the first and the last side. A good line below the bad one reverses
    the list. Relative paths count from the file's folder. Raises UsageError.
    """
    sides = []
    for number, line in enumerate(_lines(path), start=1):
        text = line.strip()
        if text and not text.startswith("#"):
            side = parse_overrides(text, base=path.parent.resolve(), place=f"{path}:{number}")
            sides.append(Candidate(key=str(number), title=text, side=str(side)))
    return Candidates(sides=_between(sides, good, bad, f"line of {path}"))


def read_series(folder: Path, *, good: str | None, bad: str | None) -> Candidates:
    """Sides with the first 0, 1, 2 … patches of a series; `good` and `bad` are numbers of patches.

    The order is that of quilt's file `series` if it exists, else of the names of `*.patch`. Raises UsageError.
    """
    series = folder / "series"
    if series.is_file():
        names = [line.split()[0] for line in _lines(series) if line.strip() and not line.startswith("#")]
    else:
        names = sorted(path.name for path in folder.glob("*.patch"))
    missing = next((name for name in names if not (folder / name).is_file()), None)
    if missing is not None or not names:
        raise UsageError(f"{folder}: " + ("no *.patch there" if missing is None else f"{missing} is not there"))
    paths = tuple(str(folder.resolve() / name) for name in names)
    sides = [Candidate(key="0", title="no patch", side=str(MachineOverrides()))]
    for number, name in enumerate(names, start=1):
        sides.append(Candidate(key=str(number), title=name, side=str(MachineOverrides(patch=paths[:number]))))
    return Candidates(sides=_between(sides, good, bad, f"number of patches of {folder}"))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is no text"
        raise UsageError(f"{path}: {reason}") from error


def _between(sides: Sequence[Candidate], good: str | None, bad: str | None, what: str) -> tuple[Candidate, ...]:
    """The sides from `good` to `bad`, inclusive, in this direction."""
    keys = [side.key for side in sides]
    places = []
    for flag, key, default in (("--good", good, 0), ("--bad", bad, len(sides) - 1)):
        if key is not None and key not in keys:
            known = f"they are {keys[0]} to {keys[-1]}" if keys else "it has none"
            raise UsageError(f"{flag} {key}: no such {what}; {known}")
        places.append(default if key is None else keys.index(key))
    first, last = places
    if first <= last:
        return tuple(sides[first : last + 1])
    return tuple(reversed(sides[last : first + 1]))
