"""The findings of `harness scan` for a person: a line each, and the diagnosis of each console."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from harness.cli.diagnosis_view import render
from harness.cli.terminal import Terminal
from harness.model.diagnosis import Diagnosis
from harness.model.finding import FindingKind as Kind
from harness.results.text import plain_line, repeated_part

__all__ = ["show"]

_STYLES = {
    "bold red": {Kind.PANIC, Kind.OOPS, Kind.SANITIZER},
    "bold magenta": {Kind.HUNG_TASK, Kind.SOFT_LOCKUP, Kind.HARD_LOCKUP, Kind.RCU_STALL, Kind.WORKQUEUE_LOCKUP},
    "yellow": {Kind.STORAGE_TIMEOUT, Kind.IO_ERROR, Kind.OOM_KILL, Kind.PAGE_ALLOC_FAILURE},
}
_STYLE = {kind: style for style, kinds in _STYLES.items() for kind in kinds}
# Storage repeats its messages; repetitions after the first are counted.
_COUNTED = frozenset({Kind.STORAGE_TIMEOUT, Kind.IO_ERROR})
_WIDTH = max(len(kind) for kind in Kind)

Record = dict[str, Any]


def show(records: Iterable[Record]) -> None:
    """Print the records of all files: `file`, its `finding`s, its `diagnosis`; raises BrokenPipeError."""
    console = Terminal(highlight=False)
    for line in _lines(records):
        # Only lines may exceed the terminal's width: a box would break.
        console.print(line, soft_wrap=isinstance(line, Text))


def _lines(records: Iterable[Record]) -> Iterator[RenderableType]:
    found = False
    for (what, _), group in groupby(records, _key):
        if what == "file":
            yield Text(plain_line(next(group)["file"]), style="bold")
            found = False
        elif what == "finding":
            found = True
            yield from _findings([record["finding"] for record in _ends(group)])
        else:
            diagnosis = next(group)["diagnosis"]
            if not found:
                yield Text("  nothing found" if diagnosis is None else "  no report of the kernel; from its stacks:")
            if diagnosis is not None:
                yield render(Diagnosis.from_dict(diagnosis))


def _key(record: Record) -> tuple[str, object]:
    """The kind of a record, and for findings the key by which several are merged into one line."""
    what = next(iter(record))
    if what != "finding":
        return what, None
    finding = record["finding"]
    counted = finding["kind"] in _COUNTED
    return what, repeated_part(finding["title"]) if counted else finding["line"]


def _ends(group: Iterator[Record]) -> Iterator[Record]:
    """The first record of a group, and the last, with the `count` of those after the first."""
    yield next(group)
    last = None
    for count, record in enumerate(group, start=1):
        last = {"finding": {**record["finding"], "count": count}}
    if last is not None:
        yield last


def _findings(findings: list[Record]) -> Iterator[Text]:
    yield _finding(findings[0])
    for last in findings[1:]:
        times = "once" if last["count"] == 1 else f"{last['count']} times"
        yield Text(f"{_stamp(last)}  {'':{_WIDTH}}  … and {times} more, the last in line {last['line']}", style="dim")


def _finding(finding: Record) -> Text:
    line = Text(f"{_stamp(finding)}  ")
    line.append(f"{finding['kind']:{_WIDTH}}", style=_STYLE.get(finding["kind"], ""))
    line.append(f"  {plain_line(finding['title'])}")
    if finding["function"]:
        line.append(f"  in {plain_line(finding['function'])}", style="bold")
    line.append("".join(f"  {part}" for part in _where(finding)), style="dim")
    if finding["corrupted"]:
        line.append("  [corrupted]", style="red")
    return line


def _stamp(finding: Record) -> str:
    return f"{'' if finding['time_s'] is None else format(finding['time_s'], '.6f'):>14}"


def _where(finding: Record) -> Iterator[str]:
    """Task, process and processor, as far as they are known."""
    if finding["task"]:
        pid = "" if finding["pid"] is None else f" ({finding['pid']})"
        yield f"task {plain_line(finding['task'])}{pid}"
    elif finding["pid"] is not None:
        yield f"pid {finding['pid']}"
    if finding["cpu"] is not None:
        yield f"cpu {finding['cpu']}"
