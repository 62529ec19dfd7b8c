"""Cumulative counters → rates over trial time. Pure functions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from harness.model.events import Counters, WorkloadProgress
from harness.model.history import Event, select
from harness.report.read.lanes import number

_POINTS = 400  # one for about two points of the drawing
_GAP_S = 5.0  # the curve is interrupted after this long without a reading, as the rate is not known

Points = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Step:
    """A mean rate, in units per second, between two readings."""

    start: float
    end: float
    rate: float


@dataclass(frozen=True, slots=True)
class Curve:
    """One rate of one host over trial time; `name` distinguishes it from others in the panel."""

    host: str
    name: str
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Panel:
    """Curves that share an axis; `title` and `unit` stand beside it."""

    title: str
    unit: str
    curves: tuple[Curve, ...]


def make_panels(events: Sequence[Event], end: float) -> list[Panel]:
    """The progress panel, then swap and reclaim where their counters moved; `end` is the trial's."""
    panels = [
        Panel("workload progress", _unit(events), tuple(_progress(events, end))),
        Panel("swap traffic", "pages/s", tuple(_counters(events, end, _SWAP))),
        Panel("memory reclaim", "pages/s", tuple(_counters(events, end, _RECLAIM))),
    ]
    return [panel for panel in panels if panel.curves]


_SWAP = {"out": ("pswpout",), "in": ("pswpin",)}
_RECLAIM = {"scanned": ("pgscan_direct", "pgscan_kswapd"), "freed": ("pgsteal_direct", "pgsteal_kswapd")}


def rates(points: Points, end: float) -> tuple[Step, ...]:
    """Mean rates between readings of a cumulative counter, thinned to a drawable number.

    A counter that goes back (a restart) and a long gap between readings give no step.
    """
    kept = _thinned(points, max(1.0, end / _POINTS))
    steps = []
    for (start, before), (stop, after) in pairwise(kept):
        if after >= before and 0 < stop - start <= max(_GAP_S, 3 * end / _POINTS):
            steps.append(Step(start, stop, (after - before) / (stop - start)))
    return tuple(steps)


def _progress(events: Iterable[Event], end: float) -> list[Curve]:
    points: dict[str, Points] = defaultdict(list)
    for event, done in select(events, WorkloadProgress):
        if (ops := number(done.ops)) is not None:
            points[event.host].append((event.t, ops))
    curves = [Curve(host, "", rates(readings, end)) for host, readings in points.items()]
    return [curve for curve in curves if curve.steps]


def _counters(events: Iterable[Event], end: float, names: Mapping[str, tuple[str, ...]]) -> list[Curve]:
    """A curve for each host and entry of `names`; a counter missing in an event has not moved."""
    latest: dict[tuple[str, str], float] = {}
    points: dict[tuple[str, str], Points] = defaultdict(list)
    for event, moved in select(events, Counters):
        for counter in (counter for counters in names.values() for counter in counters):
            value = number(moved.value(counter))
            if value is not None:
                latest[event.host, counter] = value
        for name, counters in names.items():
            values = [latest[event.host, c] for c in counters if (event.host, c) in latest]
            if values:
                points[event.host, name].append((event.t, sum(values)))
    curves = [Curve(host, name, rates(readings, end)) for (host, name), readings in points.items()]
    return [curve for curve in curves if any(step.rate for step in curve.steps)]


def _thinned(points: Points, step: float) -> Points:
    """The first reading of each cell of `step` seconds, and the last of all."""
    kept: Points = []
    for point in points:
        if not kept or point[0] - kept[-1][0] >= step * 0.999:
            kept.append(point)
    if points and kept[-1] != points[-1]:
        kept.append(points[-1])
    return kept


def _unit(events: Iterable[Event]) -> str:
    labels = (done.label for _, done in select(events, WorkloadProgress) if done.label)
    return f"{next(labels, 'operations')}/s"
