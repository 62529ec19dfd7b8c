"""Figures of a trial: those of every history, and those that the trial itself recorded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from harness.model.events import Counters, Phase, WorkloadProgress
from harness.model.history import Event, select
from harness.model.measure import Measure
from harness.model.verdict import HANGS, Verdict
from harness.verdicts.ports import port_measures, stall_words
from harness.verdicts.steal_time import steal_measures
from harness.verdicts.watch import LOAD

QUARTERS = 4
# Signs of memory pressure: the name of the figure, and its fields of /proc/vmstat.
COUNTERS = {
    "pages swapped out": ("pswpout",),
    "pages swapped in": ("pswpin",),
    "allocation stalls": ("allocstall_dma32", "allocstall_normal", "allocstall_movable"),
    "tasks throttled in reclaim": ("pgscan_direct_throttle",),
    "pages migrated": ("pgmigrate_success",),
}


def measures_of(events: Sequence[Event], verdict: Verdict) -> list[Measure]:
    """The figures of a trial: time to hang, pauses of the load, memory pressure, RDMA ports, steal time, then its own.

    Times are in seconds from the load's beginning. Counters are those of the host that the load ran on, over the load.
    """
    begin, end = _load(events)
    if begin is None:
        return []
    during = [event for event in events if begin <= event.t <= end]
    progress = list(select(during, WorkloadProgress))
    found = []
    if verdict.kind in HANGS and verdict.onset_s is not None:
        found.append(Measure(name="time to hang", value=round(max(0.0, verdict.onset_s - begin), 1), unit="s"))
    found.append(Measure(name="load ran", value=round(end - begin, 1), unit="s"))
    found += _pace(progress, begin, end)
    found += _stalls(verdict, begin, end)
    counted = [(event, counters) for event, counters in select(events, Counters) if event.t <= end]
    found += _pressure(counted, {event.host for event, _ in progress}, begin)
    found += port_measures(events, begin, end)
    found += _ports_in_stall(events, verdict, begin)
    return [*found, *steal_measures(during), *(measure for _, measure in select(events, Measure))]


def _load(events: Sequence[Event]) -> tuple[float | None, float]:
    """The first begin and the last end of the load; evidence may be collected in between."""
    times = [(event.t, phase) for event, phase in select(events, Phase) if phase.name == LOAD]
    begins = [t for t, phase in times if phase.begins]
    ends = [t for t, phase in times if phase.ends]
    return begins[0] if begins else None, ends[-1] if ends else (events[-1].t if events else 0.0)


def _pace(progress: Sequence[tuple[Event, WorkloadProgress]], begin: float, end: float) -> Iterable[Measure]:
    """Operations a second, and the longest time without progress on any host, as sampled."""
    if not progress or end <= begin:
        return
    hosts: dict[str, list[tuple[float, int]]] = {}
    for event, done in progress:
        hosts.setdefault(event.host, []).append((event.t, done.ops or 0))
    moves = sorted(t for counts in hosts.values() for (_, old), (t, new) in pairwise(counts) if new != old)
    operations = sum(max(ops for _, ops in counts) for counts in hosts.values())
    yield Measure(name="operations a second", value=round(operations / (end - begin), 1), unit="1/s")
    longest = max(new - old for old, new in pairwise([begin, *moves, end]))
    yield Measure(name="longest pause", value=round(longest, 1), unit="s")


def _stalls(verdict: Verdict, begin: float, end: float) -> Iterable[Measure]:
    """Number, durations and distribution over the load of the stalls."""
    stalls = verdict.stalls
    if not stalls or end <= begin:
        return
    quarters = [min(QUARTERS - 1, int(QUARTERS * (stall.onset_s - begin) / (end - begin))) for stall in stalls]
    yield Measure(name="stalls", value=len(stalls))
    yield Measure(name="longest stall", value=round(max(stall.duration_s for stall in stalls), 1), unit="s")
    yield Measure(name="stalled in all", value=round(sum(stall.duration_s for stall in stalls), 1), unit="s")
    counts = " ".join(str(quarters.count(quarter)) for quarter in range(QUARTERS))
    yield Measure(name="stalls in each quarter of the load", value=counts)


def longest_stop(verdict: Verdict) -> tuple[float, float] | None:
    """The hang, from its onset until it was certain, or else the longest stall; None without either."""
    if verdict.kind in HANGS and verdict.onset_s is not None and verdict.certain_s is not None:
        return verdict.onset_s, verdict.certain_s
    longest = max(verdict.stalls, key=lambda stall: stall.duration_s, default=None)
    return (longest.onset_s, longest.onset_s + longest.duration_s) if longest is not None else None


def _ports_in_stall(events: Sequence[Event], verdict: Verdict, begin: float) -> Iterable[Measure]:
    """Whether the ports under test moved data while nothing went on."""
    if (span := longest_stop(verdict)) is not None:
        for port, words in stall_words(events, begin, *span):
            yield Measure(name=f"{port} in the longest stall", value=words)


def _pressure(counted: Sequence[tuple[Event, Counters]], hosts: set[str], begin: float) -> Iterable[Measure]:
    for name, keys in COUNTERS.items():
        yield Measure(name=name, value=sum(_growth(counted, host, key, begin) for host in hosts for key in keys))


def _growth(counted: Sequence[tuple[Event, Counters]], host: str, key: str, begin: float) -> int:
    """The growth of a counter since `begin`; an event has only the counters that changed since the previous one."""
    own = ((event.t, counters.value(key)) for event, counters in counted if event.host == host)
    values = [(t, value) for t, value in own if value is not None]
    before = [value for t, value in values if t <= begin] or [value for _, value in values[:1]]
    return values[-1][1] - before[-1] if values else 0
