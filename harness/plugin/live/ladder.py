"""The ladder of every host of a running trial, drawn on a terminal."""

from __future__ import annotations

import threading

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from harness.model.clock import SYSTEM_CLOCK, Clock
from harness.model.history import Event, Rung
from harness.plugin.live.view import HostView, RungView, View
from harness.report.read.lanes import SLOW_S, VERY_SLOW_S
from harness.results.text import plain_line

REFRESHES_PER_SECOND = 4
# A sample is taken at least once a second; one that is this old says nothing about now.
UNANSWERED_S = 5.0

_OPINION_STYLES = {"running": "green", "finished": "bold green", "stopped": "bold red", "gone": "bold red"}


def render(view: View, elapsed: float | None = None) -> RenderableType:
    """The state of a trial `elapsed` seconds after its begin (default: at its last event)."""
    now = view.t if elapsed is None else max(elapsed, view.t)
    parts: list[RenderableType] = [_headline(view, now)]
    if view.hosts:
        parts.append(_ladders(view, now))
    parts.append(_opinion(view, now))
    parts += [Text(f"  {line}", style="dim", overflow="ellipsis", no_wrap=True) for line in view.lines]
    return Group(*parts)


class LiveView:
    """An observer that keeps the ladder on `console` up to date while it is entered."""

    def __init__(self, console: Console, *, name: str, clock: Clock = SYSTEM_CLOCK) -> None:
        self._view = View(name=name)
        self._clock = clock
        self._start = clock.monotonic()
        self._lock = threading.Lock()
        self._live = Live(
            console=console,
            get_renderable=self.render,
            refresh_per_second=REFRESHES_PER_SECOND,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> LiveView:
        self._start = self._clock.monotonic()
        self._live.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._live.stop()

    def on_event(self, event: Event) -> None:
        """See `Observer.on_event`; the next refresh draws it."""
        with self._lock:
            self._view.apply(event)

    def write(self, line: str) -> None:
        """Write one line above the ladder."""
        self._live.console.print(Text(line))

    def render(self) -> RenderableType:
        """The trial as it looks now."""
        with self._lock:
            return render(self._view, self._clock.monotonic() - self._start)


def _headline(view: View, now: float) -> Text:
    line = Text(overflow="ellipsis", no_wrap=True)
    line.append(plain_line(view.name), style="bold")
    line.append(f"  {view.phase or 'starting'}", style="cyan")
    line.append(f"  {_clock_face(now)}")
    return line


def _clock_face(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}"


def _ladders(view: View, now: float) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("")
    for name in view.hosts:
        table.add_column(Text(plain_line(name) or "harness"), min_width=14, no_wrap=True, overflow="ellipsis")
    for rung in Rung:
        cells = [_cell(host.rungs.get(rung.value), now) for host in view.hosts.values()]
        table.add_row(Text(rung.value, style="dim"), *cells)
    if any(host.ops is not None for host in view.hosts.values()):
        table.add_row(Text("load", style="dim"), *(_load(host) for host in view.hosts.values()))
    return table


def _cell(rung: RungView | None, now: float) -> Text:
    if rung is None:
        return Text("·", style="dim")
    silent = now - rung.t
    if rung.blocked_s is not None:
        return Text(f"▒ blocked {rung.blocked_s + silent:.0f} s", style="bold red")
    if silent > UNANSWERED_S:
        return Text(f"? silent {silent:.0f} s", style="yellow")
    if not rung.ok:
        return Text(f"✗ {plain_line(rung.detail) or 'fails'}", style="red")
    if rung.latency_s is None:
        return Text("● ok", style="green")
    return Text(f"● {_seconds(rung.latency_s)}", style=_colour(rung.latency_s))


def _seconds(latency: float) -> str:
    return f"{latency * 1000:.0f} ms" if latency < 1.0 else f"{latency:.1f} s"


def _colour(latency: float) -> str:
    if latency < SLOW_S:
        return "green"
    return "yellow" if latency < VERY_SLOW_S else "red"


def _load(host: HostView) -> Text:
    if host.ops is None:
        return Text("·", style="dim")
    rate = "" if host.rate is None else f" {host.rate:.0f}/s"
    done = f" {host.finished}/{host.workers} done" if host.workers else ""
    if host.failed:
        done += f", {host.failed} failed"
    return Text(f"{host.ops:.0f} {plain_line(host.label) or 'ops'}{rate}{done}")


def _opinion(view: View, now: float) -> Text:
    if not view.opinion:
        return Text("watch: no opinion yet", style="dim")
    line = Text("watch: ", overflow="ellipsis", no_wrap=True)
    line.append(plain_line(view.opinion), style=_OPINION_STYLES.get(view.opinion, "yellow"))
    if view.since_s is not None:
        line.append(f" for {max(0.0, now - view.since_s):.0f} s")
    if view.why:
        line.append(f", {plain_line(view.why)}")
    return line
