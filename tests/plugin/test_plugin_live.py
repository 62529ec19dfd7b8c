"""What the live view shows: drawn into a recording console, from events alone."""

from __future__ import annotations

import io
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from harness.model.history import Event, Kind
from harness.plugin.live.ladder import LiveView, render
from harness.plugin.live.lines import MOST_FINDINGS, LineView
from harness.plugin.live.view import View

EVENTS = [
    Event(0.0, Kind.PHASE, data={"name": "load", "state": "begin"}),
    Event(1.0, Kind.RUNG, "client", {"rung": "alloc", "ok": True, "latency_s": 0.012}),
    Event(1.0, Kind.RUNG, "client", {"rung": "disk", "ok": True, "latency_s": 3.25}),
    Event(1.0, Kind.RUNG, "client", {"rung": "storage", "ok": False, "blocked_s": 2.0}),
    Event(1.0, Kind.RUNG, "client", {"rung": "vcpu", "ok": False, "detail": "paused"}),
    Event(1.0, Kind.RUNG, "server", {"rung": "heartbeat", "ok": True, "latency_s": None}),
    Event(1.0, Kind.PROGRESS, "client", {"ops": 100, "workers": 8, "finished": 1, "label": "pages"}),
    Event(2.0, Kind.PROGRESS, "client", {"ops": 350, "workers": 8, "finished": 2, "label": "pages"}),
    Event(2.0, Kind.OPINION, data={"state": "suspect", "since_s": 1.5, "why": "no progress"}),
    Event(2.0, Kind.CONSOLE, "client", {"kind": "hung_task", "title": "task \x1b[31mcp\x1b[0m blocked"}),
]


def draw(events: Iterable[Event], elapsed: float | None = None) -> str:
    view = View(name="test_x.py::test_swap")
    for event in events:
        view.apply(event)
    console = Console(record=True, width=100, file=io.StringIO())
    console.print(render(view, elapsed))
    return console.export_text()


def row(text: str, rung: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(f"{rung} "))


def test_ladder_shows_latency_blocked_and_failed() -> None:
    text = draw(EVENTS, elapsed=2.0)
    assert "● 12 ms" in row(text, "alloc")
    assert "● 3.2 s" in row(text, "disk")
    assert "blocked 3 s" in row(text, "storage")
    assert "✗ paused" in row(text, "vcpu")
    assert "● ok" in row(text, "heartbeat")
    assert "·" in row(text, "fork")


def test_a_blocked_rung_goes_on_counting_and_an_old_sample_says_so() -> None:
    text = draw(EVENTS, elapsed=31.0)
    assert "blocked 32 s" in row(text, "storage")
    assert "silent 30 s" in row(text, "alloc")


def test_progress_phase_elapsed_and_what_is_awaited() -> None:
    text = draw(EVENTS, elapsed=75.0)
    assert "test_x.py::test_swap  load  1:15" in text
    assert "350 pages 250/s 2/8 done" in row(text, "load")
    assert "watch: suspect for 74 s, no progress" in text


def test_guest_text_is_neither_control_sequence_nor_markup() -> None:
    hostile = "[bold]x[/bold] \x1b]0;title\x07\x9b2J [link=file:///]"
    text = draw(
        [
            Event(0.0, Kind.RUNG, "[red]host", {"rung": "vcpu", "ok": False, "detail": hostile}),
            Event(0.0, Kind.CONSOLE, "[red]host", {"kind": "panic", "title": hostile}),
            Event(0.0, Kind.OPINION, data={"state": "[blink]", "why": hostile}),
        ]
    )
    assert "\x1b" not in text and "\x9b" not in text
    assert "[red]host" in text
    assert "panic: [bold]x[/bold]" in text
    assert "watch: [blink], [bold]x[/bold]" in text


def test_an_empty_view_can_be_drawn() -> None:
    assert "starting" in draw([])


values = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False) | st.text(max_size=5)
events = st.builds(
    Event,
    st.floats(0, 1e6),
    st.sampled_from(list(Kind)),
    st.text(max_size=5),
    st.dictionaries(
        st.sampled_from(["rung", "ok", "latency_s", "blocked_s", "state", "name", "ops", "since_s", "why", "title"]),
        values,
    ),
)


@given(st.lists(events, max_size=8))
def test_no_event_breaks_the_view(many: list[Event]) -> None:
    lines = LineView(io.StringIO())
    for event in many:
        lines.on_event(event)
    draw(many)


def test_live_view_leaves_only_what_was_written() -> None:
    file = io.StringIO()
    with LiveView(Console(file=file, force_terminal=True, width=80), name="case") as view:
        for event in EVENTS:
            view.on_event(event)
        view.write("verdict: [bold]")
    assert "verdict: [bold]" in file.getvalue()
    assert file.getvalue().count("\x1b[?25h") == 1


def lines_of(events: Iterable[Event], prefix: str = "") -> list[str]:
    stream = io.StringIO()
    view = LineView(stream, prefix=prefix)
    for event in events:
        view.on_event(event)
    return stream.getvalue().splitlines()


def test_lines_tell_what_happens_and_no_samples() -> None:
    assert lines_of(EVENTS) == [
        "    0.0 s  phase load",
        "    2.0 s  watch: suspect: no progress",
        "    2.0 s  client: console: hung_task: task cp blocked",
    ]


def test_lines_do_not_repeat_an_opinion() -> None:
    opinions = [
        Event(float(t), Kind.OPINION, data={"state": s}) for t, s in enumerate(["running"] * 3 + ["stopped"] * 2)
    ]
    assert [line.split()[-1] for line in lines_of(opinions)] == ["running", "stopped"]


def test_lines_do_not_flood() -> None:
    findings = [Event(1.0, Kind.CONSOLE, "client", {"kind": "warning", "title": str(n)}) for n in range(500)]
    lines = lines_of(findings)
    assert len(lines) == MOST_FINDINGS + 1
    assert lines[-1].endswith("further console findings go to the history only")


def test_lines_carry_their_prefix() -> None:
    assert lines_of(EVENTS[:1], prefix="test_x") == ["test_x:     0.0 s  phase load"]


def test_lines_of_the_rest() -> None:
    assert [
        line.partition("s  ")[2]
        for line in lines_of(
            [
                Event(1.0, Kind.FAULT, "server", {"name": "link", "action": "heal"}),
                Event(2.0, Kind.RECOVERY, "client", {"step": "hold", "recovered": True}),
                Event(3.0, Kind.RECOVERY, "client", {"step": "release", "recovered": False, "detail": "still blocked"}),
                Event(4.0, Kind.INFRA, data={"error": "no shell\nat all"}),
                Event(4.5, Kind.NOTE, data={"text": "building the image"}),
                Event(5.0, Kind.PHASE, data={"name": "load", "state": "end"}),
            ]
        )
    ] == [
        "server: fault link: heal",
        "client: recovery probe: hold, recovered",
        "client: recovery probe: release, not recovered: still blocked",
        "harness: no shell at all",
        "building the image",
    ]
