"""A trial's history in at most a dozen sentences. A pure function of the recorded history."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from harness.model.events import (
    Baseline,
    EvidencePiece,
    FaultStep,
    InfraFailure,
    Lag,
    LoadLimit,
    Phase,
    RecoveryStep,
    TrialFacts,
    WatchOpinion,
    WorkloadProgress,
)
from harness.model.finding import CRASHES, LOCKUPS, Finding
from harness.model.history import Event, select
from harness.model.verdict import Verdict, VerdictKind
from harness.report.read.blocked import blocked_sentences
from harness.report.read.lanes import number
from harness.report.read.words import OPINIONS, instant, seconds
from harness.results.text import plain_line
from harness.verdicts.measures import longest_stop
from harness.verdicts.ports import stall_words

MOST = 12  # lines; beyond that, those with the least weight are left out
_STALLS = 3
# Opinions that no other line repeats.
_REPORTED = frozenset({"silent", "agent_dead", "locked", "paused", "gone", "crashed", "killed"})


@dataclass(frozen=True, slots=True)
class _Moment:
    t: float
    weight: int
    text: str


def timeline(events: Sequence[Event], verdict: Verdict | None) -> list[tuple[float, str]]:
    """At most `MOST` (trial time in seconds, sentence), in the order of time; `verdict` is None if there is none."""
    moments = [
        *_preparation(events),
        *_faults(events),
        *_stop(events, verdict),
        *_stalls(verdict),
        *_ports(events, verdict),
        *_opinions(events),
        *_console(events),
        *_evidence(events),
        *_recovery(events),
        *_trouble(events),
        *_end(events, verdict),
    ]
    moments.sort(key=lambda moment: moment.t)
    kept = sorted(moments, key=lambda moment: -moment.weight)[:MOST]
    return [(moment.t, plain_line(moment.text, 300)) for moment in moments if moment in kept]


def _phase(events: Iterable[Event], name: str, state: str) -> Event | None:
    """The first beginning or end of a phase."""
    wanted = Phase(name=name, state=state)
    return next((event for event, phase in select(events, Phase) if phase == wanted), None)


def _preparation(events: Sequence[Event]) -> Iterator[_Moment]:
    trial = [facts for _, facts in select(events, TrialFacts)]
    if (booted := _phase(events, "boot", "end")) is not None:
        slowdown = number(next((facts.slowdown for facts in reversed(trial) if facts.slowdown is not None), None))
        slow = f"; the slowest is {slowdown:.0f} times slower than this machine" if slowdown and slowdown >= 2 else ""
        yield _Moment(booted.t, 3, f"the hosts are up{slow}")
    for event, baseline in itertools.islice(select(events, Baseline), 1):
        rate = number(baseline.ops_per_s)
        alone = f"; alone it does {rate:.0f} operations a second" if rate else ""
        yield _Moment(event.t, 4, f"the storage is up{_named([facts.storage for facts in trial])}{alone}")
    if (load := _phase(events, "load", "begin")) is not None:
        yield _Moment(load.t, 7, f"the load begins{_named([facts.workload for facts in trial])}")


def _ports(events: Sequence[Event], verdict: Verdict | None) -> Iterator[_Moment]:
    """What the RDMA ports under test did while nothing went on."""
    load, span = _phase(events, "load", "begin"), longest_stop(verdict) if verdict is not None else None
    if load is not None and span is not None:
        for port, words in stall_words(events, load.t, *span):
            yield _Moment(span[0], 8, f"{port} {words}, from then to {instant(span[1])}")


def _named(names: Sequence[str]) -> str:
    """The newest non-empty name, in brackets."""
    return next((f" ({name})" for name in reversed(names) if name), "")


def _faults(events: Iterable[Event]) -> Iterator[_Moment]:
    done = {"inject": "fault", "heal": "healed"}
    for event, step in select(events, FaultStep):
        yield _Moment(event.t, 8, _on(event.host, f"{done.get(step.action, step.action)}: {step.name or '?'}"))


def _stop(events: Sequence[Event], verdict: Verdict | None) -> Iterator[_Moment]:
    """The stop at the onset, and when it was certain."""
    if verdict is None:
        return
    onset, certain = verdict.onset_s, verdict.certain_s
    if onset is not None:
        last = certain if certain is not None else onset
        yield from (_Moment(t, 8, text) for t, text in blocked_sentences(events, onset, last))
        if (words := _onset(events, verdict, onset, last)) is not None:
            yield _Moment(onset, 10, f"{words}{_workers(events, onset)}")
    if certain is not None and certain != onset:
        later = f", {seconds(certain - onset)} later" if onset is not None else ""
        yield _Moment(certain, 9, f"the harness is certain of it{later}")


def _onset(events: Iterable[Event], verdict: Verdict, onset: float, certain: float) -> str | None:
    """The event at the onset, unless another line has it."""
    if verdict.kind is VerdictKind.LOCKED_UP:
        return "the last sign of life"
    if verdict.kind not in (VerdictKind.DEADLOCKED, VerdictKind.LIVELOCKED):
        return None
    counts = [done.ops or 0 for event, done in select(events, WorkloadProgress) if onset < event.t <= certain]
    return "progress falls to a crawl" if counts and counts[-1] > counts[0] else "the last progress"


def _workers(events: Iterable[Event], t: float) -> str:
    """How many workers there were at time `t`, and how many had finished."""
    newest = {event.host: done for event, done in select(events, WorkloadProgress) if event.t <= t}
    workers = sum(done.workers for done in newest.values())
    finished = sum(done.finished for done in newest.values())
    if not workers:
        return ""
    return f"; {finished} of {workers} workers are done"


def _stalls(verdict: Verdict | None) -> Iterator[_Moment]:
    stalls = verdict.stalls if verdict is not None else ()
    for stall in stalls[:_STALLS]:
        back = "and comes back by itself" if stall.ended else "and does not come back"
        yield _Moment(stall.onset_s, 8, f"progress stops for {seconds(stall.duration_s)} {back}")
    if len(stalls) > _STALLS:
        yield _Moment(stalls[_STALLS].onset_s, 7, f"{len(stalls) - _STALLS} more stalls from here on")


def _opinions(events: Iterable[Event]) -> Iterator[_Moment]:
    reported: set[str] = set()
    for event, opinion in select(events, WatchOpinion):
        if opinion.state in _REPORTED - reported:
            reported.add(opinion.state)
            why = f": {opinion.why}" if opinion.why else ""
            yield _Moment(event.t, 8, f"{OPINIONS[opinion.state]}{why}")


def _console(events: Iterable[Event]) -> Iterator[_Moment]:
    """The first finding of each kind on each host, with the number of those like it."""
    alike: dict[tuple[str, str], list[tuple[float, Finding]]] = defaultdict(list)
    for event, finding in select(events, Finding):
        alike[event.host, finding.kind].append((event.t, finding))
    for (host, kind), found in alike.items():
        (t, first), (last, _) = found[0], found[-1]
        more = f" (and {len(found) - 1} more until {instant(last)})" if len(found) > 1 else ""
        function = f" in {first.function}" if first.function else ""
        title = plain_line(first.title or "?", 160)
        text = f"console, {kind.replace('_', ' ')}: {title}{function}{more}"
        weight = 9 if kind in CRASHES | LOCKUPS | {"oom_kill"} else 6
        yield _Moment(t, weight, _on(host, text))


def _evidence(events: Iterable[Event]) -> Iterator[_Moment]:
    # Readings before the load are a baseline, not evidence.
    loaded = next((event.t for event, phase in select(events, Phase) if phase.name == "load"), 0.0)
    pieces = [(event, piece) for event, piece in select(events, EvidencePiece) if event.t >= loaded]
    if pieces:
        failed = sum(not piece.ok for _, piece in pieces)
        but = f", {failed} of them in vain" if failed else ""
        many = f"{len(pieces)} pieces" if len(pieces) > 1 else "1 piece"
        yield _Moment(pieces[0][0].t, 4, f"evidence is collected: {many}{but}")
    for event, piece in pieces:
        if piece.waiting is not None:
            blocked = f"{piece.waiting}{_all(events, event.t)} workers are blocked in the kernel"
            yield _Moment(event.t, 9, _on(event.host, blocked))


def _all(events: Iterable[Event], t: float) -> str:
    workers = [done.workers for event, done in select(events, WorkloadProgress) if event.t <= t]
    return f" of {workers[-1]}" if workers and workers[-1] else ""


def _recovery(events: Iterable[Event]) -> Iterator[_Moment]:
    for event, step in select(events, RecoveryStep):
        words = {"hold": "the workload is held", "release": "the workload is killed"}.get(step.step)
        if words is None:
            continue
        after = seconds(number(step.after_s))
        if not step.done:
            answer = f"not done: {step.detail or '?'}"
        elif step.recovered:
            answer = f"everything answers again after {after}"
        else:
            still = f"; still blocked: {step.detail}" if step.detail else ""
            answer = f"nothing comes back within {after}{still}"
        yield _Moment(event.t, 8, f"recovery probe: {words}, {answer}")


def _trouble(events: Iterable[Event]) -> Iterator[_Moment]:
    for event, failure in select(events, InfraFailure):
        words = f"the harness or its infrastructure failed: {failure.error or '?'}"
        yield _Moment(event.t, 10, _on(event.host, words))
    for event, limit in select(events, LoadLimit):
        yield _Moment(event.t, 6, f"the load's time is over ({seconds(number(limit.seconds))})")
    lags = [(event.t, number(lag.seconds) or 0.0) for event, lag in select(events, Lag)]
    if lags:
        yield _Moment(
            lags[0][0], 5, f"the harness itself was held up for {seconds(sum(lag for _, lag in lags))} in all"
        )


def _end(events: Sequence[Event], verdict: Verdict | None) -> Iterator[_Moment]:
    last = max((event.t for event in events), default=None)
    if last is not None:
        ending = "the trial ends" if verdict is not None else "the history ends: the run was cut short"
        yield _Moment(last, 10, ending)


def _on(host: str, text: str) -> str:
    return f"{host}: {text}" if host else text
