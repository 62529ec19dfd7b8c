"""The truth of a trial: the kind's right verdicts, and the times of its fault from the history."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from random import Random

from harness.model.events import Counters, FaultStep
from harness.model.history import Event, select
from harness.model.verdict import OR, REPRODUCIBLE, VerdictKind
from harness.trial.plan import SURVIVES, Plan

# Aims for the watch, in seconds; on a slow host multiplied by the factor of its policy.
STOP_S = 5.0
CRAWL_S = 15.0
# Positions of completed requests in /sys/block/*/stat, see Documentation/block/stat.rst.
READS, WRITES = 0, 4


class Group(StrEnum):
    """A group of kinds."""

    LIVE = "live"
    DEADLOCK = "deadlock"
    STALL = "stall"
    LIVELOCK = "livelock"
    LOCKUP = "lockup"
    CRASH = "crash"
    OOM = "oom"
    INSTRUMENT = "instrument"
    BOUNDED = "bounded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """One kind of trial with a known right verdict.

    `about` describes the fault, `accepted` are the right verdicts, `plan` makes the trial with random instants from the
    generator. `faulty`: the hang begins when the fault is injected, else at the verdict's onset. `within_s`: how soon
    after that the watch must be sure, None if speed does not matter. `heals`: the fault is healed, and its stall ends
    with the first request that the storage completes afterwards. `solo`: no other trial may run at the same time.
    """

    name: str
    about: str
    accepted: tuple[VerdictKind, ...]
    plan: Callable[[Random], Plan]
    faulty: bool = True
    within_s: float | None = None
    heals: bool = False
    solo: bool = False

    @property
    def group(self) -> Group:
        """The kind's group: the part of the name before the dot."""
        return Group(self.name.partition(".")[0])

    @property
    def expected(self) -> str:
        """The accepted verdicts in words."""
        return OR.join(kind.value for kind in self.accepted)

    def named(self, trial: str, random: Random) -> Plan:
        """The plan of the trial of this name."""
        return replace(self.plan(random), name=trial, expected=self._word)

    @property
    def _word(self) -> str:
        """The expectation that a run's page compares the verdict with; INCONCLUSIVE and LOST have none."""
        words = (word for word, kind in REPRODUCIBLE.items() if kind in self.accepted)
        return OR.join(words) or SURVIVES


@dataclass(frozen=True, slots=True)
class Span:
    """The span in trial time in which a fault was injected or healed; the exact instant is somewhere within."""

    begin_s: float
    end_s: float

    def distance(self, instant_s: float) -> float:
        """Seconds from the span to an instant: negative before it, 0.0 within it."""
        return min(0.0, instant_s - self.begin_s) or max(0.0, instant_s - self.end_s)


def fault_span(events: Sequence[Event], action: str) -> Span | None:
    """The span in which the first fault was injected (`inject`) or healed (`heal`); None if it never was."""
    for event, step in select(events, FaultStep):
        if step.action == action:
            return Span(event.t - step.took_s, event.t)
    return None


def first_completion(events: Sequence[Event], after_s: float) -> float | None:
    """The first time after `after_s` at which the storage's block device completed a request, as sampled, or None."""
    before: int | None = None
    for event, counters in select(events, Counters):
        done = _completed(counters)
        if done is None:
            continue
        if event.t > after_s and before is not None and done > before:
            return event.t
        before = done
    return None


def _completed(counters: Counters) -> int | None:
    counts = [values for values in counters.files.values() if len(values) > WRITES]
    return sum(values[READS] + values[WRITES] for values in counts) if counts else None
