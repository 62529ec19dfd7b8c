"""Events → numbered marks on the time axis, each with a sentence. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from harness.model.events import FaultStep, InfraFailure, Payload, Phase, RecoveryStep, WatchOpinion
from harness.model.finding import Finding
from harness.model.history import Event, select
from harness.report.read.lanes import number
from harness.report.read.words import OPINIONS
from harness.results.text import plain_line


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Something that happened at trial time `t`; `row` is fault, console or watch, `label` such as `C3`."""

    t: float
    row: str
    host: str
    text: str
    label: str = ""
    count: int = 1
    last: float = 0.0


@dataclass(frozen=True, slots=True)
class Span:
    """A phase, or a fault from injection to healing, in trial time; `open_end` if its end was not seen."""

    name: str
    start: float
    end: float
    open_end: bool


def make_marks(events: Iterable[Event]) -> list[Mark]:
    """All marks in the order of time; equal marks of one host are one mark with a count."""
    marks: dict[tuple[object, ...], Mark] = {}
    opinion = None
    for event in events:
        if isinstance(event.payload, WatchOpinion):
            if event.payload.state == opinion:
                continue
            opinion = event.payload.state
        mark = _mark(event)
        if mark is not None:
            # only for console findings a repeat has no new meaning
            key = (mark.host, mark.text) if mark.row == "console" else (len(marks), "")
            before = marks.get(key, replace(mark, count=0))
            marks[key] = replace(before, count=before.count + 1, last=mark.t)
    return _labelled(sorted(marks.values(), key=lambda mark: mark.t))


def make_phases(events: Iterable[Event], end: float) -> list[Span]:
    """The phases of the trial; one that never ended lasts to `end`."""
    starts: dict[str, float] = {}
    spans: list[Span] = []
    for event, phase in select(events, Phase):
        name = plain_line(phase.name or "?", 24)
        if phase.begins:
            starts[name] = event.t
        elif name in starts:
            spans.append(Span(name, starts.pop(name), event.t, open_end=False))
    spans += [Span(name, start, end, open_end=True) for name, start in starts.items()]
    return sorted(spans, key=lambda span: span.start)


def make_fault_spans(events: Iterable[Event], end: float) -> list[Span]:
    """Faults from injection to healing; one that was never healed lasts to `end`."""
    active: dict[tuple[str, str], float] = {}
    spans: list[Span] = []
    for event, step in select(events, FaultStep):
        key = (event.host, plain_line(step.name or "?", 40))
        if step.action == "inject":
            active.setdefault(key, event.t)
        elif key in active:
            spans.append(Span(key[1], active.pop(key), event.t, open_end=False))
    return spans + [Span(key[1], start, end, open_end=True) for key, start in active.items()]


def _labelled(marks: list[Mark]) -> list[Mark]:
    """Number the marks within their row, so that marks too close to draw separately can be a range."""
    seen: dict[str, int] = {}
    labelled = []
    for mark in marks:
        seen[mark.row] = seen.get(mark.row, 0) + 1
        labelled.append(replace(mark, label=f"{mark.row[0].upper()}{seen[mark.row]}"))
    return labelled


def _mark(event: Event) -> Mark | None:
    row, words = _sentence(event.payload)
    return Mark(t=event.t, row=row, host=event.host, text=plain_line(words, 400)) if row else None


def _sentence(payload: Payload) -> tuple[str, str]:
    """The row of an event and its sentence; ("", "") if it is no mark."""
    match payload:
        case FaultStep():
            return "fault", _fault(payload)
        case Finding():
            return "console", _console(payload)
        case WatchOpinion():
            return "watch", _opinion(payload)
        case RecoveryStep():
            return "watch", _recovery(payload)
        case InfraFailure():
            return "watch", f"the harness or its infrastructure failed: {payload.error or '?'}"
    return "", ""


def _fault(step: FaultStep) -> str:
    action = {"inject": "fault injected", "heal": "fault healed"}.get(step.action, "fault")
    return _joined(f"{action}: {step.name or '?'}", step.detail)


def _console(finding: Finding) -> str:
    place = f" in {finding.function}" if finding.function else ""
    return f"{(finding.kind or 'finding').replace('_', ' ')}: {finding.title or '?'}{place}"


def _opinion(opinion: WatchOpinion) -> str:
    since = number(opinion.since_s)
    words = OPINIONS.get(opinion.state, f"the watch reports {opinion.state or '?'}")
    if since is not None and opinion.state in {"suspect", "stopped"}:
        words += f" (no progress since {since:.1f} s)"
    return _joined(words, opinion.why)


def _recovery(step: RecoveryStep) -> str:
    if step.step == "release":
        return _joined("recovery probe: the memory pressure is taken away", step.detail)
    came_back = "came back" if step.recovered else "did not come back"
    return _joined(f"recovery probe: progress {came_back}", step.detail)


def _joined(words: str, detail: str) -> str:
    return f"{words}: {detail}" if detail else words
