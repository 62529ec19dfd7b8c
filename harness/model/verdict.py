"""The verdict of a trial."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class VerdictKind(StrEnum):
    """Kinds of verdict; the table in docs/verdicts/README.md says when each is given."""

    SURVIVED = "SURVIVED"
    STALLED = "STALLED"
    LIVELOCKED = "LIVELOCKED"
    DEADLOCKED = "DEADLOCKED"
    LOCKED_UP = "LOCKED_UP"
    CRASHED = "CRASHED"
    OOM_KILLED = "OOM_KILLED"
    IO_FAILED = "IO_FAILED"
    LOST = "LOST"
    INCONCLUSIVE = "INCONCLUSIVE"


HANGS = frozenset({VerdictKind.STALLED, VerdictKind.LIVELOCKED, VerdictKind.DEADLOCKED, VerdictKind.LOCKED_UP})

# The word that `@pytest.mark.reproduces(...)` and `harness run --expect` take for each kind.
REPRODUCIBLE = {
    "stall": VerdictKind.STALLED,
    "livelock": VerdictKind.LIVELOCKED,
    "deadlock": VerdictKind.DEADLOCKED,
    "lockup": VerdictKind.LOCKED_UP,
    "crash": VerdictKind.CRASHED,
    "oom": VerdictKind.OOM_KILLED,
    "io-failure": VerdictKind.IO_FAILED,
}
OR = " or "


def kinds_of(expected: str) -> tuple[VerdictKind, ...]:
    """The kinds of an expectation of one or more words: "deadlock", "oom or deadlock". Raises ValueError."""
    words = expected.split(OR)
    unknown = next((word for word in words if word not in REPRODUCIBLE), None)
    if unknown is not None:
        raise ValueError(f"cannot expect {unknown!r}; the words are: {', '.join(REPRODUCIBLE)}")
    return tuple(REPRODUCIBLE[word] for word in words)


@dataclass(frozen=True, slots=True)
class Stall:
    """Progress stopped at `onset_s` (trial time) for `duration_s`; `ended` says whether it resumed."""

    onset_s: float
    duration_s: float
    ended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The verdict computed from a trial's history; times are trial time in seconds.

    `onset_s` is the last progress before the hang, `certain_s` the time at which the watch was sure of it. `blocked`
    lists the rungs that were blocked then (`host/rung`), `reasons` the steps to the verdict in words.
    """

    kind: VerdictKind
    summary: str
    onset_s: float | None = None
    certain_s: float | None = None
    blocked: tuple[str, ...] = ()
    alive: tuple[str, ...] = ()
    stalls: tuple[Stall, ...] = ()
    reasons: tuple[str, ...] = ()

    @property
    def is_hang(self) -> bool:
        """Whether the kernel under test hung."""
        return self.kind in HANGS

    def to_dict(self) -> dict[str, Any]:
        """The verdict as plain JSON values, its kind under `verdict`."""
        record = asdict(self)
        record["verdict"] = record.pop("kind").value
        return record

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Verdict:
        """The verdict that `to_dict` wrote; raises KeyError or ValueError on anything else."""
        return cls(
            kind=VerdictKind(record["verdict"]),
            summary=str(record["summary"]),
            onset_s=record.get("onset_s"),
            certain_s=record.get("certain_s"),
            blocked=tuple(record.get("blocked", ())),
            alive=tuple(record.get("alive", ())),
            stalls=tuple(Stall(**stall) for stall in record.get("stalls", ())),
            reasons=tuple(record.get("reasons", ())),
        )
