"""Events → marks on the time axis, numbered, each with a sentence. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from harness.model.history import Event, Kind
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
    """All marks in the order of time; equal ones of one host are one mark that counts them."""
    marks: dict[tuple[object, ...], Mark] = {}
    opinion = None
    for event in events:
        if event.kind is Kind.OPINION:
            if event.data.get("state") == opinion:
                continue
            opinion = event.data.get("state")
        mark = _mark(event)
        if mark is not None:
            # only console findings repeat without meaning anything new
            key = (mark.host, mark.text) if mark.row == "console" else (len(marks), "")
            before = marks.get(key, replace(mark, count=0))
            marks[key] = replace(before, count=before.count + 1, last=mark.t)
    return _labelled(sorted(marks.values(), key=lambda mark: mark.t))


def make_phases(events: Iterable[Event], end: float) -> list[Span]:
    """The phases of the trial; one that never ended lasts to `end`."""
    starts: dict[str, float] = {}
    spans: list[Span] = []
    for event in events:
        if event.kind is not Kind.PHASE:
            continue
        name = plain_line(str(event.data.get("name", "?")), 24)
        if event.data.get("state") == "begin":
            starts[name] = event.t
        elif name in starts:
            spans.append(Span(name, starts.pop(name), event.t, open_end=False))
    spans += [Span(name, start, end, open_end=True) for name, start in starts.items()]
    return sorted(spans, key=lambda span: span.start)


def make_fault_spans(events: Iterable[Event], end: float) -> list[Span]:
    """Faults from injection to healing; one that was never healed lasts to `end`."""
    active: dict[tuple[str, str], float] = {}
    spans: list[Span] = []
    for event in events:
        if event.kind is not Kind.FAULT:
            continue
        key = (event.host, plain_line(str(event.data.get("name", "?")), 40))
        if event.data.get("action") == "inject":
            active.setdefault(key, event.t)
        elif key in active:
            spans.append(Span(key[1], active.pop(key), event.t, open_end=False))
    return spans + [Span(key[1], start, end, open_end=True) for key, start in active.items()]


def _labelled(marks: list[Mark]) -> list[Mark]:
    """Numbered within their row, so that marks too close to be drawn apart can be given as a range."""
    seen: dict[str, int] = {}
    labelled = []
    for mark in marks:
        seen[mark.row] = seen.get(mark.row, 0) + 1
        labelled.append(replace(mark, label=f"{mark.row[0].upper()}{seen[mark.row]}"))
    return labelled


def _mark(event: Event) -> Mark | None:
    sentence = _SENTENCES.get(event.kind)
    if sentence is None:
        return None
    row, make = sentence
    return Mark(t=event.t, row=row, host=event.host, text=plain_line(make(event.data), 400))


def _fault(data: Mapping[str, Any]) -> str:
    action = {"inject": "fault injected", "heal": "fault healed"}.get(str(data.get("action")), "fault")
    return _joined(f"{action}: {data.get('name', '?')}", data.get("detail"))


def _console(data: Mapping[str, Any]) -> str:
    function = data.get("function")
    place = f" in {function}" if function else ""
    return f"{_kind(data)}: {data.get('title', '?')}{place}"


def _opinion(data: Mapping[str, Any]) -> str:
    since = number(data.get("since_s"))
    words = OPINIONS.get(str(data.get("state")), f"the watch says {data.get('state', '?')}")
    if since is not None and data.get("state") in {"suspect", "stopped"}:
        words += f" (no progress since {since:.1f} s)"
    return _joined(words, data.get("why"))


def _recovery(data: Mapping[str, Any]) -> str:
    if data.get("step") == "release":
        return _joined("recovery probe: the memory pressure is taken away", data.get("detail"))
    came_back = "came back" if data.get("recovered") else "did not come back"
    return _joined(f"recovery probe: progress {came_back}", data.get("detail"))


def _infra(data: Mapping[str, Any]) -> str:
    return f"the harness or its infrastructure failed: {data.get('error', '?')}"


def _joined(words: str, detail: object) -> str:
    return f"{words}: {detail}" if detail else words


def _kind(data: Mapping[str, Any]) -> str:
    return str(data.get("kind", "finding")).replace("_", " ")


_SENTENCES = {
    Kind.FAULT: ("fault", _fault),
    Kind.CONSOLE: ("console", _console),
    Kind.OPINION: ("watch", _opinion),
    Kind.RECOVERY: ("watch", _recovery),
    Kind.INFRA: ("watch", _infra),
}
