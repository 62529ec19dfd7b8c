"""Payloads of periodic events: rungs, progress, counters, heartbeats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from harness.model.events.payload import Kind, Payload, Recorded, number, numbers, optional_text, text, whole


@dataclass(frozen=True, slots=True, kw_only=True)
class RungSample(Payload):
    """Whether one rung answered (`ok`), how long that took, and for how long it has been blocked.

    `rung` is a `Rung`, or a word of a newer version. `age_s` is how long ago the sample began. Rungs of the agent have
    `errors`.

    The vcpu rung has a `model.power.PowerState` as `detail`, "" while there is no answer (earlier histories have
    libvirt's words). Where the host offers them, it has `cpu_ns` and `processors` as in `drivers.protocols.VcpuTimes`:
    the time of this machine that the guest's processors got. The shell rung has `agent`, the state letter of the
    agent's process ("" if there is none).
    """

    event_kind: ClassVar[Kind] = Kind.RUNG
    optional: ClassVar[frozenset[str]] = frozenset({"errors", "cpu_ns", "processors", "agent", "age_s"})

    rung: str
    ok: bool = False
    latency_s: float | None = None
    blocked_s: float | None = None
    detail: str = ""
    errors: int | None = None
    cpu_ns: int | None = None
    processors: tuple[tuple[int, int], ...] | None = None
    agent: str | None = None
    age_s: float | None = None

    @classmethod
    def from_event(cls, event: Recorded) -> Self:
        """See `Payload.from_event`."""
        data = event.data
        agent = data.get("agent")
        return cls(
            rung=text(data.get("rung")),
            ok=bool(data.get("ok")),
            latency_s=number(data.get("latency_s")),
            blocked_s=number(data.get("blocked_s")),
            detail=text(data.get("detail")),
            errors=whole(data.get("errors")),
            cpu_ns=whole(data.get("cpu_ns")),
            processors=_processors(data.get("processors")),
            agent=None if agent is None else str(agent),
            age_s=number(data.get("age_s")),
        )


def _processors(value: object) -> tuple[tuple[int, int], ...] | None:
    if not isinstance(value, list | tuple):
        return None
    pairs = [numbers(pair) for pair in value]
    return tuple((int(pair[0]), int(pair[1])) for pair in pairs) if all(len(pair) == 2 for pair in pairs) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadProgress(Payload):
    """Progress of the workload: cumulative operations and bytes, and the states of its workers.

    `ops` is None if a history lacks it. `alive` counts existing processes; `label` says what the operations are.
    """

    event_kind: ClassVar[Kind] = Kind.PROGRESS
    optional: ClassVar[frozenset[str]] = frozenset({"label"})

    ops: int | None
    workers: int
    finished: int = 0
    failed: int = 0
    alive: int = 0
    bytes: int = 0
    label: str | None = None

    @classmethod
    def from_event(cls, event: Recorded) -> Self:
        """See `Payload.from_event`."""
        data = event.data
        return cls(
            ops=whole(data.get("ops")),
            workers=whole(data.get("workers")) or 0,
            finished=whole(data.get("finished")) or 0,
            failed=whole(data.get("failed")) or 0,
            alive=whole(data.get("alive")) or 0,
            bytes=whole(data.get("bytes")) or 0,
            label=optional_text(data.get("label")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline(Payload):
    """Speed of the storage in operations of the workload, measured before the load."""

    event_kind: ClassVar[Kind] = Kind.BASELINE

    ops_per_s: float

    @classmethod
    def from_event(cls, event: Recorded) -> Self:
        """See `Payload.from_event`."""
        return cls(ops_per_s=number(event.data.get("ops_per_s")) or 0.0)


@dataclass(frozen=True, slots=True)
class Counters(Payload):
    """The counters of /proc/vmstat and of the storage that changed, cumulative."""

    event_kind: ClassVar[Kind] = Kind.VMSTAT

    moved: Mapping[str, object] = field(default_factory=dict)

    def value(self, name: str) -> int | None:
        """A counter of /proc/vmstat; None if it did not change."""
        return whole(self.moved.get(name))

    @property
    def files(self) -> dict[str, tuple[int, ...]]:
        """The numbers in the files that the storage wants counted, by the storage's name for each file."""
        lists = {name: numbers(value) for name, value in self.moved.items() if isinstance(value, list | tuple)}
        return {name: tuple(int(value) for value in values) for name, values in lists.items()}

    def to_dict(self) -> dict[str, Any]:
        """The counters as plain JSON values."""
        return dict(self.moved)

    @classmethod
    def from_event(cls, event: Recorded) -> Self:
        """See `Payload.from_event`."""
        return cls(event.data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat(Payload):
    """A heartbeat line of the agent arrived; `ticks` are seconds since each processor last ticked."""

    event_kind: ClassVar[Kind] = Kind.HEARTBEAT

    seq: int
    uptime_s: float
    ticks: tuple[float, ...] = ()

    @classmethod
    def from_event(cls, event: Recorded) -> Self:
        """See `Payload.from_event`."""
        data = event.data
        return cls(
            seq=whole(data.get("seq")) or 0,
            uptime_s=number(data.get("uptime_s")) or 0.0,
            ticks=numbers(data.get("ticks")),
        )
