"""Findings on consoles as the page lists them. Pure functions on events."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.model.finding import Finding
from harness.model.history import Event, select
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
    """The findings of a history, in order."""
    return [_view(event, finding) for event, finding in select(events, Finding)]


def _view(event: Event, finding: Finding) -> FindingView:
    return FindingView(
        t=event.t,
        host=event.host,
        kind=plain_line(finding.kind or "–", 40).replace("_", " "),
        title=plain_line(finding.title or "–", 300),
        details=tuple(_details(finding)),
        stack="\n".join(plain_line(frame, 120) for frame in finding.stack),
    )


def _details(finding: Finding) -> Iterable[str]:
    if finding.task:
        pid = f" ({finding.pid})" if finding.pid is not None else ""
        yield plain_line(f"task {finding.task}{pid}", 80)
    if finding.function:
        yield plain_line(f"in {finding.function}", 100)
    if (cpu := number(finding.cpu)) is not None:
        yield f"CPU {cpu:.0f}"
    if (time_s := number(finding.time_s)) is not None:
        yield f"kernel time {time_s:.3f} s"
    if line := number(finding.line):
        yield f"console line {line:.0f}"
    if finding.corrupted:
        yield "the report is cut or interleaved"
