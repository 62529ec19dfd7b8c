"""The history of a trial: a flat sequence of events, from which everything else is computed.

A history file has one JSON object per line, in the order in which the harness recorded the events. `t` is in seconds
since the trial began, on the harness's monotonic clock. The first event is `trial`. `harness.model.events` has a table
of the kinds, and the class of each kind's `data`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from harness.model import events
from harness.model.events import Kind, Payload, Rung
from harness.model.finding import Finding
from harness.model.measure import Measure

__all__ = ["Event", "Kind", "Rung", "read_events", "select"]

P = TypeVar("P", bound=Payload)

PAYLOADS: Mapping[Kind, type[Payload]] = {
    payload.event_kind: payload
    for payload in (
        events.TrialFacts,
        events.HostRecord,
        events.Phase,
        events.RungSample,
        events.WorkloadProgress,
        events.Baseline,
        events.Counters,
        events.Heartbeat,
        Finding,
        events.FaultStep,
        events.Fence,
        Measure,
        events.WatchOpinion,
        events.RecoveryStep,
        events.EvidencePiece,
        events.InfraFailure,
        events.LoadLimit,
        events.Lag,
        events.Note,
    )
}


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a trial; `t` is in seconds since the trial began."""

    t: float
    kind: Kind
    host: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    _payload: Payload | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def payload(self) -> Payload:
        """`data` as the class of its kind; parsed once."""
        payload = self._payload
        if payload is None:
            payload = PAYLOADS[self.kind].from_event(self)
            object.__setattr__(self, "_payload", payload)
        return payload

    def to_json(self) -> str:
        """One line of a history file, without its newline; non-ASCII text is escaped."""
        record = {"t": round(self.t, 4), "kind": self.kind.value, "host": self.host, "data": dict(self.data)}
        return json.dumps(record, ensure_ascii=True, separators=(",", ":"), default=str)

    @classmethod
    def from_json(cls, line: str) -> Event:
        """The event of one line; raises ValueError on anything else."""
        record = json.loads(line)
        if not isinstance(record, dict):
            raise ValueError(f"not an event: {line[:80]!r}")
        try:
            return cls(float(record["t"]), Kind(record["kind"]), str(record["host"]), dict(record["data"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"not an event: {line[:80]!r}") from error


def read_events(lines: Iterable[str]) -> Iterator[Event]:
    """Events of a history file; a last line that a kill cut short is left out."""
    for line in lines:
        if not line.endswith("\n"):
            return
        if line.strip():
            yield Event.from_json(line)


def select(events: Iterable[Event], wanted: type[P]) -> Iterator[tuple[Event, P]]:
    """The events of one kind, each with its payload."""
    for event in events:
        if event.kind is wanted.event_kind and isinstance(payload := event.payload, wanted):
            yield event, payload
