"""Trials side by side: one table for each test file, and a grid if their parameters form one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.model.measure import Measure, Value
from harness.report.read.trial_view import TrialView

_GRID = 6  # trials; fewer are shown as rows
_ABREAST = 6  # most trials for which columns fit into the width of a page
_DASH = "–"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One trial: its name within the file, its verdict, and a cell for each column of the table."""

    slug: str
    name: str
    kind: str
    as_expected: bool | None
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Verdicts by parameters: `cells` maps (row, column) to the trials there."""

    name: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: Mapping[tuple[str, str], Sequence[Row]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The trials of one file; `columns` are names of figures with their units.

    If the trials are `abreast`, each trial has a column and each figure a line. There are mostly more figures than
    trials, so that they fit on a page.
    """

    file: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    grids: tuple[Grid, ...] = field(default=())

    @property
    def abreast(self) -> bool:
        """Whether the trials are the columns of the page's table."""
        return len(self.rows) <= _ABREAST


def tables(trials: Sequence[TrialView]) -> list[Table]:
    """A table for each file with several trials in the run, in the order of the run."""
    files: dict[str, list[TrialView]] = {}
    for trial in trials:
        files.setdefault(trial.name.partition("::")[0], []).append(trial)
    return [_table(file, group) for file, group in files.items() if len(group) > 1]


def spelled(value: Value) -> str:
    """A figure as text: whole numbers in groups of three digits, others to three digits."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) or value.is_integer():
        return f"{int(value):,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return f"{value:.1f}" if abs(value) >= 1 else f"{value:.3g}"


def _table(file: str, trials: Sequence[TrialView]) -> Table:
    # In the order of the trial with most figures: a survivor has no time to hang, which would otherwise come last.
    fullest = sorted(trials, key=lambda trial: -len(trial.measures))
    columns = list(dict.fromkeys(_column(measure) for trial in fullest for measure in trial.measures))
    rows = [_row(trial, columns) for trial in trials]
    functions = dict.fromkeys(row.name.partition("[")[0] for row in rows)
    grids = [_grid(name, [row for row in rows if row.name.partition("[")[0] == name]) for name in functions]
    return Table(
        file=file, columns=tuple(columns), rows=tuple(rows), grids=tuple(grid for grid in grids if grid is not None)
    )


def _column(measure: Measure) -> str:
    return f"{measure.name}, {measure.unit}" if measure.unit else measure.name


def _row(trial: TrialView, columns: Sequence[str]) -> Row:
    reported = {_column(measure): spelled(measure.value) for measure in trial.measures}
    return Row(
        slug=trial.slug,
        name=trial.name.partition("::")[2] or trial.name,
        kind=trial.judgement.kind,
        as_expected=trial.judgement.as_expected,
        cells=tuple(reported.get(column, _DASH) for column in columns),
    )


def _grid(name: str, rows: Sequence[Row]) -> Grid | None:
    """A grid if all ids of `name` have the same number of parts, at least two; the last part is the column."""
    parts = [row.name.partition("[")[2].removesuffix("]").split("-") for row in rows]
    if len(rows) < _GRID or len({len(part) for part in parts}) != 1 or len(parts[0]) < 2:
        return None
    cells: dict[tuple[str, str], list[Row]] = {}
    for row, part in zip(rows, parts, strict=True):
        cells.setdefault(("-".join(part[:-1]), part[-1]), []).append(row)
    return Grid(
        name=name,
        rows=tuple(dict.fromkeys(row for row, _ in cells)),
        columns=tuple(dict.fromkeys(column for _, column in cells)),
        cells=cells,
    )
