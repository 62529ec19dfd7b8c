"""Named figures with units, as a table or as one JSON object."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure: `value` in `unit`, the median of `samples` where there are any.

    `value` is None where nothing was measured; `note` says why.
    """

    name: str
    what: str
    unit: str
    value: float | None
    samples: tuple[float, ...] = ()
    aim: str = ""
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The figure as plain JSON values, without what is empty; `value` is always there."""
        record: dict[str, Any] = {"value": self.value, "unit": self.unit}
        optional = {"samples": list(self.samples), "aim": self.aim, "note": self.note}
        return {**record, **{key: value for key, value in optional.items() if value}}


def figure_of(name: str, what: str, unit: str, samples: Sequence[float], *, aim: str = "", note: str = "") -> Figure:
    """The median of `samples`; None where there are none."""
    value = round(median(samples), 4) if samples else None
    kept = tuple(round(sample, 4) for sample in samples)
    return Figure(name=name, what=what, unit=unit, value=value, samples=kept, aim=aim, note=note)


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """One ratio for each pair that was measured side by side; what has no partner is left out."""
    return [over / under for over, under in zip(numerators, denominators, strict=False) if under]


def as_json(figures: Sequence[Figure]) -> str:
    """One object: the name of each figure → its value, unit and samples."""
    return json.dumps({figure.name: figure.to_dict() for figure in figures}, indent=2)


def table_of(title: str, figures: Sequence[Figure]) -> Table:
    """The same for people: the value, and where there are several samples, from what to what they went."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for heading in ("", "value", "unit", "from", "to", "n", "aim"):
        table.add_column(heading, justify="right" if heading in ("value", "from", "to", "n") else "left", no_wrap=True)
    for figure in figures:
        spread = (min(figure.samples), max(figure.samples)) if len(figure.samples) > 1 else (None, None)
        count = str(len(figure.samples)) if figure.samples else ""
        cells = [figure.what, digits(figure.value, "–"), figure.unit, digits(spread[0]), digits(spread[1]), count]
        table.add_row(*(Text(cell) for cell in (*cells, figure.aim)))
    return table


def digits(value: float | None, absent: str = "") -> str:
    """A number with as many decimals as it deserves; counts are whole."""
    if value is None:
        return absent
    return f"{value:.0f}" if isinstance(value, int) or abs(value) >= 1000 else f"{value:.2f}"


def notes_of(figures: Sequence[Figure]) -> list[str]:
    """One line for each note, with the figures that share it."""
    shared: dict[str, list[str]] = {}
    for figure in figures:
        if figure.note:
            shared.setdefault(figure.note, []).append(figure.what)
    return [f"{', '.join(whats)}: {note}" for note, whats in shared.items()]


def show(title: str, figures: Sequence[Figure], *, json_wanted: bool) -> None:
    """Print the figures on standard output."""
    if json_wanted:
        print(as_json(figures))
    else:
        console = Console()
        console.print(table_of(title, figures))
        for line in notes_of(figures):
            console.print(Text(line, style="dim"))
