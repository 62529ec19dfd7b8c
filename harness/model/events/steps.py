"""Payloads of the harness's own steps: facts, phases, faults, opinions, recovery, evidence, failures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Self

from harness.model.events.payload import Kind, Payload, Recorded, mapping, number, text, texts, whole
from harness.model.opinion import Opinion

# Their names in histories of harness 0.1.
_STATES_BEFORE = {"mute": "agent_dead"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialFacts(Payload):
    """Facts of a trial: its first event. The second has the policy as scaled by the hosts' `slowdown`.

    `started` is in epoch seconds, `policy` is for `verdicts.policy.Policy`, `roles` maps role → host. Storage,
    workload, faults, tunings and instruments are described in words. `protocol` names the storage's protocol, "" if it
    is local. `served_by` maps host → hosts that may serve it; the first one alive does (`storage.base.ServedBy`).
    Histories of harness 0.1 have neither.
    """

    event_kind: ClassVar[Kind] = Kind.TRIAL
    optional: ClassVar[frozenset[str]] = frozenset({"protocol", "served_by", "slowdown"})

    name: str
    started: float = 0.0
    policy: Mapping[str, object] = field(default_factory=dict)
    topology: str = ""
    roles: Mapping[str, str] = field(default_factory=dict)
    storage: str = ""
    workload: str = ""
    faults: tuple[str, ...] = ()
    tunings: tuple[str, ...] = ()
    instruments: tuple[str, ...] = ()
    about: str = ""
    protocol: str | None = None
    served_by: Mapping[str, tuple[str, ...]] | None = None
    slowdown: float | None = None

    @classmethod
    def from_event(cls, event: Recorded) -> Self:
        """See `Payload.from_event`."""
        data = event.data
        return cls(
            name=text(data.get("name")),
            started=number(data.get("started")) or 0.0,
            policy=mapping(data.get("policy")),
            topology=text(data.get("topology")),
            roles={role: str(host) for role, host in mapping(data.get("roles")).items()},
            storage=text(data.get("storage")),
            workload=text(data.get("workload")),
            faults=texts(data.get("faults")),
            tunings=texts(data.get("tunings")),
            instruments=texts(data.get("instruments")),
            about=text(data.get("about")),
            protocol=text(data["protocol"]) if "protocol" in data else None,
            served_by=_served_by(data["served_by"]) if "served_by" in data else None,
            slowdown=number(data.get("slowdown")),
        )


def _served_by(value: object) -> Mapping[str, tuple[str, ...]]:
    return {host: texts(servers) for host, servers in mapping(value).items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRecord(Payload):
    """Facts of a host once it is up: `facts` as in `site.facts.HostFacts`, `capabilities` by name.

    `silence_is_proof` says whether the `transport` of its agent loses nothing; `power_source` names the source of its
    power state. Earlier histories have none of these: their hosts are guests, whose UART loses nothing.
    """

    event_kind: ClassVar[Kind] = Kind.HOST

    facts: Mapping[str, object] = field(default_factory=dict)
    capabilities: tuple[str, ...] = ()
    transport: str = ""
    silence_is_proof: bool = True
    power_source: str = ""

    @classmethod
    def from_event(cls, event: Recorded) -> Self:
        """See `Payload.from_event`."""
        data = event.data
        return cls(
            facts=mapping(data.get("facts")),
            capabilities=texts(data.get("capabilities")),
            transport=text(data.get("transport")),
            silence_is_proof=bool(data.get("silence_is_proof", True)),
            power_source=text(data.get("power_source")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase(Payload):
    """A phase begins or ends: boot, storage, baseline, load, fault, recovery, evidence, measure, teardown."""

    event_kind: ClassVar[Kind] = Kind.PHASE

    name: str
    state: str

    @property
    def begins(self) -> bool:
        """Whether it begins."""
        return self.state == "begin"

    @property
    def ends(self) -> bool:
        """Whether it ends."""
        return self.state == "end"

    @classmethod
    def from_event(cls, event: Recorded) -> Self:
        """See `Payload.from_event`."""
        return cls(name=text(event.data.get("name")), state=text(event.data.get("state")))


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultStep(Payload):
    """A fault was injected or healed (`action`: inject, heal); this is the end of the step, which took `took_s`."""

    event_kind: ClassVar[Kind] = Kind.FAULT

    name: str
    action: str
    took_s: float = 0.0
    detail: str = ""

    @classmethod
    def from_event(cls, event: Recorded) -> Self:
        """See `Payload.from_event`."""
        data = event.data
        return cls(
            name=text(data.get("name")),
            action=text(data.get("action")),
            took_s=number(data.get("took_s")) or 0.0,
            detail=text(data.get("detail")),
        )


@dataclass(frozen=True, slots=True)
class Fence(Payload):
    """The harness cuts the host's power on purpose: nothing is expected of the host from now on."""

    event_kind: ClassVar[Kind] = Kind.FENCE


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchOpinion(Payload):
    """The watch's current opinion (`state`: a `model.opinion.State`, or a word of a newer version), and its reason."""

    event_kind: ClassVar[Kind] = Kind.OPINION

    state: str
    since_s: float | None = None
    why: str = ""

    @classmethod
    def of(cls, opinion: Opinion) -> Self:
        """The record of an opinion."""
        return cls(state=opinion.state.value, since_s=opinion.since_s, why=opinion.why)

    @classmethod
    def from_event(cls, event: Recorded) -> Self:
        """See `Payload.from_event`."""
        data = event.data
        state = text(data.get("state"))
        return cls(
            state=_STATES_BEFORE.get(state, state), since_s=number(data.get("since_s")), why=text(data.get("why"))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryStep(Payload):
    """A step of the recovery probe (hold, release; docs/verdicts/): whether it was `done`, and its outcome."""

    event_kind: ClassVar[Kind] = Kind.RECOVERY

    step: str
    done: bool = True
    recovered: bool = False
    after_s: float | None = None
    detail: str = ""

    @classmethod
    def from_event(cls, event: Recorded) -> Self:
        """See `Payload.from_event`."""
        data = event.data
        return cls(
            step=text(data.get("step")),
            done=bool(data.get("done", True)),
            recovered=bool(data.get("recovered")),
            after_s=number(data.get("after_s")),
            detail=text(data.get("detail")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidencePiece(Payload):
    """A piece of evidence was collected, or not (`ok`); `path` is its file.

    `waiting` is the number of the load's tasks that the kernel shows blocked; only a dump of blocked tasks has it.
    """

    event_kind: ClassVar[Kind] = Kind.EVIDENCE
    optional: ClassVar[frozenset[str]] = frozenset({"waiting"})

    name: str
    path: str = ""
    ok: bool = False
    detail: str = ""
    waiting: int | None = None

    @classmethod
    def from_event(cls, event: Recorded) -> Self:
        """See `Payload.from_event`."""
        data = event.data
        return cls(
            name=text(data.get("name")),
            path=text(data.get("path")),
            ok=bool(data.get("ok")),
            detail=text(data.get("detail")),
            waiting=whole(data.get("waiting")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class InfraFailure(Payload):
    """The harness or its infrastructure failed."""

    event_kind: ClassVar[Kind] = Kind.INFRA

    error: str

    @classmethod
    def from_event(cls, event: Recorded) -> Self:
        """See `Payload.from_event`."""
        return cls(error=text(event.data.get("error")))


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadLimit(Payload):
    """The load reached its time limit of `seconds`."""

    event_kind: ClassVar[Kind] = Kind.LIMIT

    seconds: float

    @classmethod
    def from_event(cls, event: Recorded) -> Self:
        """See `Payload.from_event`."""
        return cls(seconds=number(event.data.get("seconds")) or 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag(Payload):
    """The harness itself did not run for `seconds`, so silence in that time is no evidence."""

    event_kind: ClassVar[Kind] = Kind.LAG

    seconds: float

    @classmethod
    def from_event(cls, event: Recorded) -> Self:
        """See `Payload.from_event`."""
        return cls(seconds=number(event.data.get("seconds")) or 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Note(Payload):
    """Any other note."""

    event_kind: ClassVar[Kind] = Kind.NOTE

    text: str

    @classmethod
    def from_event(cls, event: Recorded) -> Self:
        """See `Payload.from_event`."""
        return cls(text=text(event.data.get("text")))
