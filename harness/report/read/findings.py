"""Console events → findings as the page lists them. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from harness.model.history import Event, Kind
from harness.report.read.lanes import number
from harness.results.text import plain_line


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingView:
    """One console finding at trial time `t`, in words; `stack` has a line for each frame, innermost first."""

    t: float
    host: str
    kind: str
    title: str
    details: tuple[str, ...]
    stack: str


def make_findings(events: Iterable[Event]) -> list[FindingView]:
    """The findings of a history, in its order."""
    return [_finding(event) for event in events if event.kind is Kind.CONSOLE]


def _finding(event: Event) -> FindingView:
    data = event.data
    stack = data.get("stack")
    return FindingView(
        t=event.t,
        host=event.host,
        kind=plain_line(str(data.get("kind", "–")), 40).replace("_", " "),
        title=plain_line(str(data.get("title", "–")), 300),
        details=tuple(_details(data)),
        stack="\n".join(plain_line(str(frame), 120) for frame in stack) if isinstance(stack, list) else "",
    )


def _details(data: Any) -> Iterable[str]:
    if data.get("task"):
        pid = f" ({data['pid']})" if data.get("pid") is not None else ""
        yield plain_line(f"task {data['task']}{pid}", 80)
    if data.get("function"):
        yield plain_line(f"in {data['function']}", 100)
    for key, words in (("cpu", "CPU {:.0f}"), ("time_s", "kernel time {:.3f} s"), ("line", "console line {:.0f}")):
        value = number(data.get(key))
        if value is not None:
            yield words.format(value)
    if data.get("corrupted"):
        yield "the report is cut or interleaved"
