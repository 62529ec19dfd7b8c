"""Events become marks, phases and fault spans."""

from __future__ import annotations

from typing import Any

from synthetic_run import finding, opinion, phase

from harness.model.history import Event, Kind
from harness.report.read.findings import make_findings
from harness.report.read.marks import Span, make_fault_spans, make_marks, make_phases


def fault(t: float, action: str, host: str = "server", name: str = "link") -> Event:
    return Event(t, Kind.FAULT, host, {"name": name, "action": action, "detail": "eth1"})


def recovery(t: float, **data: Any) -> Event:
    return Event(t, Kind.RECOVERY, "client", data)


def test_marks_say_what_happened_in_words() -> None:
    events = [
        fault(3, "inject"),
        opinion(5, "suspect", 4.0, "no request completed"),
        finding(6, "client", "hung_task", "task dd:7 blocked", function="io_schedule"),
        recovery(7, step="release", recovered=None, detail=""),
        recovery(8, step="observed", recovered=False, detail="still 12 in flight"),
        recovery(9, step="observed", recovered=True, detail=""),
        fault(10, "heal"),
        Event(11, Kind.INFRA, "", {"error": "the switch ended"}),
    ]
    assert [(mark.label, mark.text) for mark in make_marks(events)] == [
        ("F1", "fault injected: link: eth1"),
        ("W1", "the watch suspects a hang (no progress since 4.0 s): no request completed"),
        ("C1", "hung task: task dd:7 blocked in io_schedule"),
        ("W2", "recovery probe: the memory pressure is taken away"),
        ("W3", "recovery probe: progress did not come back: still 12 in flight"),
        ("W4", "recovery probe: progress came back"),
        ("F2", "fault healed: link: eth1"),
        ("W5", "the harness or its infrastructure failed: the switch ended"),
    ]


def test_an_opinion_is_marked_when_it_changes() -> None:
    events = [opinion(t, "running") for t in range(5)] + [opinion(5, "finished"), opinion(6, "running")]
    assert [mark.t for mark in make_marks(events)] == [0, 5, 6]


def test_equal_findings_of_one_host_are_one_mark() -> None:
    events = [finding(t, "client", "warning", "WARNING: x") for t in range(10)]
    events.append(finding(3, "server", "warning", "WARNING: x"))
    assert [(m.host, m.t, m.count, m.last) for m in make_marks(events)] == [
        ("client", 0, 10, 9),
        ("server", 3, 1, 3),
    ]


def test_faults_are_never_taken_together() -> None:
    assert len(make_marks([fault(1, "inject"), fault(2, "heal"), fault(3, "inject"), fault(4, "heal")])) == 4


def test_phases_and_one_that_never_ended() -> None:
    events = [*phase("boot", 0, 7), *phase("load", 7, None)]
    assert make_phases(events, 20) == [Span("boot", 0, 7, False), Span("load", 7, 20, True)]


def test_faults_last_until_they_are_healed() -> None:
    events = [fault(3, "inject"), fault(4, "inject", "client"), fault(9, "heal"), fault(9, "heal", name="other")]
    assert make_fault_spans(events, 20) == [Span("link", 3, 9, False), Span("link", 4, 20, True)]


def test_findings_in_words() -> None:
    (view,) = make_findings(
        [finding(2, "client", "soft_lockup", "stuck", task="dd", pid=7, cpu=1, corrupted=True, stack=["a", "b"])]
    )
    assert (view.kind, view.stack) == ("soft lockup", "a\nb")
    assert view.details == (
        "task dd (7)",
        "CPU 1",
        "kernel time 5.200 s",
        "console line 812",
        "the report is cut or interleaved",
    )
