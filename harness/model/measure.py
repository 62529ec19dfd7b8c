"""What a trial measured beside its verdict."""

from __future__ import annotations

from dataclasses import dataclass

Value = float | int | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One figure: `name` in lower case words, `unit` "s", "ms", "kB/s" …, "" for words and counts."""

    name: str
    value: Value
    unit: str = ""
