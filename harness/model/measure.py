"""Figures that a trial measured beside its verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from harness.model.events.payload import Kind, Payload, Recorded, number, text

Value = float | int | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure(Payload):
    """One figure: `name` in lower case words, `unit` "s", "ms", "kB/s" …, "" for words and counts."""

    event_kind: ClassVar[Kind] = Kind.MEASURE

    name: str
    value: Value
    unit: str = ""

    @classmethod
    def from_event(cls, event: Recorded) -> Self:
        """See `Payload.from_event`."""
        data = event.data
        value = data.get("value")
        found = number(value)
        return cls(
            name=text(data.get("name")), value=text(value) if found is None else found, unit=text(data.get("unit"))
        )
