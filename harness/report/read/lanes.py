"""Rung samples → lanes with fast, slow, failing and blocked stretches. Pure functions."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import Any

from harness.model.events import RungSample
from harness.model.history import Event, Rung, select
from harness.report.read.words import instant, seconds

SLOW_S = 1.0  # a user notices
VERY_SLOW_S = 5.0  # a user gives up; a login under heavy but healthy swapping takes ten
_SILENCE_S = 3.0  # three missed samples: the lane is grey, as its state is unknown
_LARGEST = 1e15
_RUNGS = frozenset(Rung)


class State(IntEnum):
    """The state of a rung in a sample, from good to bad."""

    FAST = 1
    SLOW = 2
    VERY_SLOW = 3
    FAILED = 4
    BLOCKED = 5


@dataclass(frozen=True, slots=True)
class Sample:
    """One answer of a rung at trial time `t`: its latency, or how long it has blocked, in seconds."""

    t: float
    ok: bool
    latency: float | None
    blocked: float | None


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of trial time in one state."""

    start: float
    end: float
    state: State


@dataclass(frozen=True, slots=True)
class Lane:
    """One rung of one host over the trial; `summary` is a few words about it."""

    host: str
    rung: Rung
    segments: tuple[Segment, ...]
    summary: str


def number(value: Any) -> float | None:
    """`value` as a finite number, or None, as a guest's lines may hold anything."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        result = float(value)
    except OverflowError:
        return None
    return result if math.isfinite(result) and abs(result) <= _LARGEST else None


def make_lanes(events: Iterable[Event], end: float) -> list[Lane]:
    """A lane for each host and rung that was sampled, in the order of the ladder; `end` is the trial's."""
    samples: dict[tuple[str, Rung], list[Sample]] = defaultdict(list)
    for event, sample in select(events, RungSample):
        if sample.rung in _RUNGS:
            samples[event.host, Rung(sample.rung)].append(_sample(event.t, sample))
    # the host that runs the workload comes first, as it is the one that hangs
    hosts = sorted({host for host, _ in samples}, key=lambda host: ((host, Rung.PROGRESS) not in samples, host))
    order = [(host, rung) for host in hosts for rung in Rung if (host, rung) in samples]
    return [_lane(host, rung, samples[host, rung], end) for host, rung in order]


def coarsen(lanes: Sequence[Lane], *, limit: int, span: float) -> list[Lane]:
    """The lanes with at most about `limit` segments in all: in cells of equal length, each with its worst state.

    Lanes with few segments stay exact.
    """
    cells = 2048
    coarse = list(lanes)
    while sum(len(lane.segments) for lane in coarse) > limit and cells > 16:
        coarse = [_in_cells(lane, max(span, 1e-9) / cells) for lane in lanes]
        cells //= 2
    return coarse


def make_segments(samples: Sequence[Sample]) -> tuple[Segment, ...]:
    """Stretches of equal state, in order and without overlap; stretches without samples are left out."""
    silence = _silence(samples)
    segments: list[Segment] = []
    known_until: float | None = None
    for sample in samples:
        start = _start(sample, known_until, silence)
        _extend(segments, Segment(start, max(start, sample.t), _state(sample)))
        known_until = sample.t
    return tuple(segments)


def _sample(t: float, sample: RungSample) -> Sample:
    return Sample(t, sample.ok, number(sample.latency_s), number(sample.blocked_s))


def _lane(host: str, rung: Rung, samples: list[Sample], end: float) -> Lane:
    segments = make_segments(samples)
    return Lane(host, rung, segments, _summary(samples, segments, end))


def _silence(samples: Sequence[Sample]) -> float:
    """How long a lane may be silent: three of its own intervals, so that a slow rung has no gaps."""
    steps = [later.t - earlier.t for earlier, later in pairwise(samples)]
    return max(_SILENCE_S, 3 * statistics.median(steps)) if steps else _SILENCE_S


def _state(sample: Sample) -> State:
    if sample.blocked is not None and sample.blocked >= SLOW_S:
        return State.BLOCKED
    if sample.blocked is None and not sample.ok:
        return State.FAILED
    took = max(sample.blocked or 0.0, sample.latency or 0.0)
    if took >= VERY_SLOW_S:
        return State.VERY_SLOW
    return State.SLOW if took >= SLOW_S else State.FAST


def _start(sample: Sample, known_until: float | None, silence: float) -> float:
    """Start of the time that the sample covers: its probe's start, or the sample before if that is near."""
    if _state(sample) is State.BLOCKED:
        return max(0.0, sample.t - (sample.blocked or 0.0))
    if known_until is not None and sample.t - known_until <= silence:
        return known_until
    return max(known_until or 0.0, sample.t - max(1.0, sample.latency or 0.0))


def _extend(segments: list[Segment], new: Segment) -> None:
    """Append `new`, which replaces what it overlaps, and join it to an equal neighbour."""
    while segments and segments[-1].start >= new.start:
        segments.pop()
    if segments and segments[-1].end > new.start:
        segments[-1] = Segment(segments[-1].start, new.start, segments[-1].state)
    if segments and segments[-1].state is new.state and new.start - segments[-1].end < 0.05:
        new = Segment(segments.pop().start, new.end, new.state)
    segments.append(new)


def _in_cells(lane: Lane, step: float) -> Lane:
    worst: dict[int, State] = {}
    for segment in lane.segments:
        for cell in range(int(segment.start / step), max(1, math.ceil(segment.end / step))):
            worst[cell] = max(segment.state, worst.get(cell, State.FAST))
    segments: list[Segment] = []
    for cell in sorted(worst):
        _extend(segments, Segment(cell * step, (cell + 1) * step, worst[cell]))
    return Lane(lane.host, lane.rung, tuple(segments), lane.summary)


def _summary(samples: Sequence[Sample], segments: Sequence[Segment], end: float) -> str:
    last, silence = segments[-1], max(5.0, _silence(samples))
    suffix = ", then silent" if end - last.end > silence else ""
    if last.state is State.BLOCKED:
        return f"blocked from {instant(last.start)}" + suffix
    blocked = max((s.end - s.start for s in segments if s.state is State.BLOCKED), default=0.0)
    if blocked:
        return f"back after {seconds(blocked)}" + suffix
    failed = sum(_state(sample) is State.FAILED for sample in samples)
    if failed:
        return f"failed {failed}×" + suffix
    slowest = max((sample.latency or 0.0 for sample in samples), default=0.0)
    return (f"slowest {seconds(slowest)}" if slowest >= 0.001 else "never blocked") + suffix
