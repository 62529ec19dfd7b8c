"""The base class of payloads, and readers for values of a history.

A history may come from another version, and contains text from guests unchanged. So reading never raises: a missing
value, or one of the wrong type, gets its default, and unknown fields are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, ClassVar, Protocol, Self

LARGEST = 1e300
_NUMBERS = (float, int)


class Rung(StrEnum):
    """The rungs of the ladder, from the one that needs least to the one that needs most."""

    VCPU = "vcpu"
    HEARTBEAT = "heartbeat"
    ALLOC = "alloc"
    FORK = "fork"
    WORK = "work"
    DISK = "disk"
    NET = "net"
    SHELL = "shell"
    STORAGE = "storage"
    PROGRESS = "progress"


class Kind(StrEnum):
    """Kinds of events; `harness.model.events` has the payload of each."""

    TRIAL = "trial"
    HOST = "host"
    PHASE = "phase"
    RUNG = "rung"
    PROGRESS = "progress"
    BASELINE = "baseline"
    VMSTAT = "vmstat"
    HEARTBEAT = "heartbeat"
    CONSOLE = "console"
    FAULT = "fault"
    FENCE = "fence"
    MEASURE = "measure"
    OPINION = "opinion"
    RECOVERY = "recovery"
    EVIDENCE = "evidence"
    INFRA = "infra"
    LIMIT = "limit"
    LAG = "lag"
    NOTE = "note"


class Recorded(Protocol):
    """An event as a history has it (`harness.model.history.Event`)."""

    @property
    def data(self) -> Mapping[str, Any]:
        """Its plain JSON values."""


@dataclass(frozen=True, slots=True)
class Payload:
    """The data of one kind of event; its fields have the names used in the history.

    Fields in `optional` are left out of a history while they are None; all others are then written as null.
    """

    event_kind: ClassVar[Kind]
    optional: ClassVar[frozenset[str]] = frozenset()

    def to_dict(self) -> dict[str, Any]:
        """The payload as plain JSON values."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: _plain(value) for name, value in values.items() if value is not None or name not in self.optional}

    @classmethod
    def from_event(cls, event: Recorded) -> Self:
        """The payload of an event of this kind; `Event.payload` returns the same, parsed once."""
        return cls()


def _plain(value: object) -> object:
    if isinstance(value, StrEnum):
        return value.value
    return list(value) if isinstance(value, tuple) else value


def text(value: object) -> str:
    """`value` as text, "" for None."""
    return "" if value is None else str(value)


def optional_text(value: object) -> str | None:
    """`value` as text, or None if it is missing or empty."""
    return str(value) if value not in (None, "") else None


def number(value: object) -> float | None:
    """`value` if it is a finite number, else None."""
    if value is None or not isinstance(value, _NUMBERS) or isinstance(value, bool):
        return None
    return value if -LARGEST < value < LARGEST else None


def whole(value: object) -> int | None:
    """`value` as a whole number, None if it is not a number."""
    found = number(value)
    return None if found is None else int(found)


def texts(value: object) -> tuple[str, ...]:
    """A list of texts."""
    return tuple(str(item) for item in value) if isinstance(value, list | tuple) else ()


def numbers(value: object) -> tuple[float, ...]:
    """A list of numbers; empty if any item is not a number, since positions matter."""
    if not isinstance(value, list | tuple):
        return ()
    found = [item for item in value if number(item) is not None]
    return tuple(found) if len(found) == len(value) else ()


def mapping(value: object) -> Mapping[str, object]:
    """A JSON object."""
    return value if isinstance(value, Mapping) else {}
