"""Sentences on the rungs of a host that blocked around the hang, and those that still answered."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from harness.model.events import RungSample
from harness.model.history import Event, Rung, select
from harness.report.read.lanes import number

LEAST_S = 2.0  # shorter blocks of a rung are not mentioned
_TOGETHER_S = 2.0  # rungs that begin to block within this time share a sentence
_NAMES = {
    Rung.STORAGE: "the storage under test",
    Rung.ALLOC: "fresh memory",
    Rung.FORK: "process creation",
    Rung.WORK: "deferred work",
    Rung.DISK: "the local disk",
    Rung.NET: "the network",
    Rung.SHELL: "SSH",
}


@dataclass(slots=True)
class _Stretch:
    host: str
    rung: Rung
    start: float
    end: float


def blocked_sentences(events: Iterable[Event], onset: float, certain: float) -> list[tuple[float, str]]:
    """(trial time, sentence) of rungs blocked from `onset` to `certain`; each host's last names those that answer."""
    samples = [(event, sample) for event, sample in select(events, RungSample) if sample.rung in _NAMES]
    stretches = [
        stretch
        for stretch in _stretches(samples)
        if stretch.start <= certain and stretch.end >= onset and stretch.end - stretch.start >= LEAST_S
    ]
    sentences = []
    for host in dict.fromkeys(stretch.host for stretch in stretches):
        own = sorted((each for each in stretches if each.host == host), key=lambda stretch: stretch.start)
        groups = _groups(own)
        answering = _answering(samples, host, {stretch.rung for stretch in own}, certain)
        for group in groups:
            tail = f"; {_joined(answering)} still answer{'s' if len(answering) == 1 else ''}"
            names = [name for rung, name in _NAMES.items() if rung in {stretch.rung for stretch in group}]
            verb = "stops" if len(names) == 1 else "stop"
            text = f"{host}: {_joined(names)} {verb}{tail if group is groups[-1] and answering else ''}"
            sentences.append((group[0].start, text))
    return sentences


def _stretches(samples: Iterable[tuple[Event, RungSample]]) -> list[_Stretch]:
    """Times in which a rung was blocked, from the start of its probe."""
    found: list[_Stretch] = []
    open_: dict[tuple[str, Rung], _Stretch] = {}
    for event, sample in samples:
        key = event.host, Rung(sample.rung)
        blocked = number(sample.blocked_s)
        if blocked is None:
            open_.pop(key, None)
        elif key in open_:
            open_[key].end = event.t
        else:
            open_[key] = _Stretch(*key, max(0.0, event.t - blocked), event.t)
            found.append(open_[key])
    return found


def _groups(stretches: list[_Stretch]) -> list[list[_Stretch]]:
    groups: list[list[_Stretch]] = []
    for stretch in stretches:
        if groups and stretch.start - groups[-1][0].start <= _TOGETHER_S:
            groups[-1].append(stretch)
        else:
            groups.append([stretch])
    return groups


def _answering(samples: Iterable[tuple[Event, RungSample]], host: str, blocked: set[Rung], until: float) -> list[str]:
    """Names of the other rungs whose newest sample at `until` was an answer."""
    newest: dict[str, bool] = defaultdict(bool)
    for event, sample in samples:
        if event.host == host and event.t <= until:
            newest[sample.rung] = sample.ok and sample.blocked_s is None
    return [name for rung, name in _NAMES.items() if newest[rung] and rung not in blocked]


def _joined(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
