"""What is known of a trial beforehand, and what its history says of when it happened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from random import Random

from harness.model.events import Counters, FaultStep
from harness.model.history import Event, select
from harness.model.verdict import OR, REPRODUCIBLE, VerdictKind
from harness.trial.plan import SURVIVES, Plan

# What is wanted of the watch, in seconds; on a slow host times the factor that stretches its policy.
STOP_S = 5.0
CRAWL_S = 15.0
# Positions in /sys/block/*/stat, Documentation/block/stat.rst: requests completed.
READS, WRITES = 0, 4


class Group(StrEnum):
    """Kinds that belong together."""

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
    """One kind of trial whose right verdict is known.

    `about` says what is done, `accepted` which verdicts are right, `plan` makes the trial, its random instants taken
    from the generator. `faulty`: the hang begins when the fault is injected, else with whatever the verdict says.
    `within_s`: how soon after that the watch is to be sure, or None where no speed is asked for. `heals`: the fault is
    healed, and its stall ends with the first request that the storage completes afterwards. `solo`: no other trial may
    run at the same time.
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
        """The part of the name before the dot."""
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
        """What a run's page holds the verdict against; INCONCLUSIVE and LOST have no word for it."""
        words = (word for word, kind in REPRODUCIBLE.items() if kind in self.accepted)
        return OR.join(words) or SURVIVES


@dataclass(frozen=True, slots=True)
class Span:
    """The time that it took to inject or heal a fault, in trial time: it happened somewhere in between."""

    begin_s: float
    end_s: float

    def distance(self, instant_s: float) -> float:
        """Seconds by which an instant lies before (negative) or after the span; 0.0 within it."""
        return min(0.0, instant_s - self.begin_s) or max(0.0, instant_s - self.end_s)


def fault_span(events: Sequence[Event], action: str) -> Span | None:
    """When the first fault was injected (`inject`) or healed (`heal`); None if it never was."""
    for event, step in select(events, FaultStep):
        if step.action == action:
            return Span(event.t - step.took_s, event.t)
    return None


def first_completion(events: Sequence[Event], after_s: float) -> float | None:
    """When the storage's block device was first seen to have completed a request after `after_s`; None if never."""
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
