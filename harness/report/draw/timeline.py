"""One trial as one drawing: lanes, marks and rates over the same time axis."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from harness.report.draw import layout as place
from harness.report.draw.layout import Layout, make_layout
from harness.report.draw.palette import BANDS, BLOCKED_HATCH, COLOURS, CURVES, INK, LINES, MUTED, ROWS, UNKNOWN
from harness.report.draw.svg import STYLE, embed
from harness.report.read.curves import Panel
from harness.report.read.lanes import Lane, State, coarsen
from harness.report.read.marks import Mark, Span
from harness.report.read.words import RUNGS
from harness.results.text import plain_line

TEXT, SMALL = 10.5, 9.8  # points, at the width at which the page shows a drawing
_SEGMENTS = 6000  # about 100 bytes each; the drawing should stay well below a megabyte
_NAMES = 6  # most curves named beside a panel
_LETTER = 6.2  # width in points of an average letter of the small type, to check whether text fits


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """The contents of a timeline; times are trial time in seconds, `end` is the last.

    `onset` and `certain` are the verdict's; `stalls` are stretches (start, end) without progress that ended.
    """

    end: float
    lanes: Sequence[Lane]
    panels: Sequence[Panel]
    marks: Sequence[Mark]
    phases: Sequence[Span]
    faults: Sequence[Span]
    onset: float | None
    certain: float | None
    stalls: Sequence[tuple[float, float]]


def draw_timeline(story: Story, *, prefix: str, title: str) -> str:
    """The timeline as an `<svg>` element, safe to put into a page; `prefix` makes its ids unique there."""
    with rc_context({**STYLE, "svg.hashsalt": prefix}), warnings.catch_warnings():
        # the browser has letters that the measuring font lacks
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        document = _Drawing(story).render()
    return embed(document, prefix=prefix, title=title)


class _Drawing:
    """The figure during drawing. The canvas spans all rows: seconds across, points down."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.end = max(story.end, 1.0)
        self.rows = [row for row in ROWS if any(mark.row == row for mark in story.marks)]
        self.callouts = _callouts(story)
        self.layout: Layout = make_layout(
            callouts=len(self.callouts), mark_rows=self.rows, lanes=story.lanes, panels=len(story.panels)
        )
        self.figure = Figure(figsize=(place.WIDTH / 72, self.layout.height / 72), facecolor="none")
        self.canvas = self._axes(0.0, self.layout.bottom)
        self.canvas.set_ylim(self.layout.bottom, 0.0)

    def render(self) -> bytes:
        """Draw everything; an SVG document."""
        self._time_axis()
        self._phases()
        self._marks()
        self._lanes()
        for top, panel in zip(self.layout.panels, self.story.panels, strict=True):
            self._panel(top, panel)
        self._lines()
        document = io.BytesIO()
        self.figure.savefig(document, format="svg", transparent=True, metadata={"Date": None})
        return document.getvalue()

    def _axes(self, top: float, height: float) -> Axes:
        """Axes over the plot's whole width, `height` points from `top`."""
        full = self.layout.height
        rectangle = (
            place.LEFT / place.WIDTH, (full - top - height) / full, place.PLOT / place.WIDTH, height / full
        )  # fmt: skip
        axes = self.figure.add_axes(rectangle, facecolor="none")
        axes.set_xlim(0.0, self.end)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(length=0, labelsize=SMALL, colors=MUTED)
        axes.set_xticks([])
        axes.set_yticks([])
        return axes

    def _text(self, x: float, y: float, text: str, **style: Any) -> None:
        """Text at `x` seconds, centred at `y` points from the top; never parsed as mathematics."""
        style = {"fontsize": TEXT, "color": INK, "va": "center", "clip_on": False, **style}
        self.canvas.text(x, y + 0.5, text, parse_math=False, **style)

    def _beside(self, points: float, y: float, text: str, **style: Any) -> None:
        """Text beside the plot, `points` from its left edge."""
        self._text(points * self.end / place.PLOT, y, text, **style)

    def _time_axis(self) -> None:
        axes = self.canvas
        ticks = MaxNLocator(nbins=12, steps=[1, 2, 3, 5, 6, 10]).tick_values(0, self.end)
        axes.set_xticks(ticks)
        axes.set_xlim(0.0, self.end)
        axes.set_xlabel("seconds since the trial began", fontsize=SMALL, color=MUTED)
        axes.vlines(ticks, self.layout.phases, self.layout.bottom, color="#e4e4e0", lw=0.6, zorder=0)
        axes.spines["bottom"].set_color("#b5b5b0")

    def _phases(self) -> None:
        top = self.layout.phases
        self._beside(-place.LEFT, top + 8, "phase", fontweight="bold")
        for index, span in enumerate(self.story.phases):
            colour = ("#dfe4ea", "#ccd4dd")[index % 2]
            self.canvas.broken_barh([(span.start, span.end - span.start)], (top + 1, 14), color=colour, lw=0)
            room = (span.end - span.start) * place.PLOT / self.end
            if len(span.name) * _LETTER + 4 < room:
                self._text((span.start + span.end) / 2, top + 8, span.name, ha="center")

    def _marks(self) -> None:
        for row in self.rows:
            middle = self.layout.marks[row] + place.MARK / 2
            self._beside(-place.LEFT, middle, ROWS[row].name, fontweight="bold")
            self._beside(-8, middle, ROWS[row].short, color=MUTED, fontsize=SMALL, ha="right")
            if row == "fault":
                self._fault_spans(middle)
            self._pills([mark for mark in self.story.marks if mark.row == row], middle, ROWS[row].colour)

    def _fault_spans(self, middle: float) -> None:
        for span in self.story.faults:
            stretch = [(span.start, span.end - span.start)]
            self.canvas.broken_barh(stretch, (middle - 3, 6), color="#cdbbe3", lw=0)
            self.canvas.broken_barh(
                stretch, (middle, self.layout.bottom - middle), color=BANDS["fault"], alpha=0.6, lw=0, zorder=0.1
            )

    def _pills(self, marks: Sequence[Mark], middle: float, colour: str) -> None:
        """Numbered marks; overlapping marks become one pill with the range of their numbers."""
        for group in _groups(marks, self.end):
            label = group[0].label if len(group) == 1 else f"{group[0].label}–{group[-1].label[1:]}"
            width = _pill_width(label) * self.end / place.PLOT
            # kept within the plot; the tick shows the exact place of the first
            x = min(max(group[0].t, 0.0), self.end - width)
            self.canvas.plot([group[0].t] * 2, [middle - 8, middle + 8], color=colour, lw=1)
            pill = {"boxstyle": "round,pad=0.22,rounding_size=0.3", "fc": colour, "lw": 0}
            inset = 4 * self.end / place.PLOT
            self._text(x + inset, middle, label, color="white", fontsize=9, fontweight="bold", bbox=pill)

    def _lanes(self) -> None:
        layout = self.layout
        for host, top in layout.hosts.items():
            self._beside(-place.LEFT, top + 14, plain_line(host, 30), fontweight="bold", fontsize=12)
        for lane, top in zip(self.story.lanes, layout.lanes, strict=True):
            middle = top + place.LANE / 2
            self._beside(-place.LEFT + 10, middle, lane.rung.value, fontweight="bold")
            self._beside(-8, middle, RUNGS[lane.rung].short, color=MUTED, fontsize=SMALL, ha="right")
            self._beside(place.PLOT + 8, middle, lane.summary, color=MUTED, fontsize=SMALL)
            bar = (top + (place.LANE - place.BAR) / 2, place.BAR)
            self.canvas.broken_barh([(0, self.end)], bar, facecolor=UNKNOWN, lw=0)
        coarse = coarsen(self.story.lanes, limit=_SEGMENTS, span=self.end)
        for state in State:
            self._segments(coarse, state)

    def _segments(self, lanes: Sequence[Lane], state: State) -> None:
        boxes = [
            _box(segment.start, segment.end, top + (place.LANE - place.BAR) / 2)
            for lane, top in zip(lanes, self.layout.lanes, strict=True)
            for segment in lane.segments
            if segment.state is state
        ]
        style: dict[str, Any] = {"facecolor": COLOURS[state], "linewidth": 0}
        if state is State.BLOCKED:
            style.update(hatch="////", edgecolor=BLOCKED_HATCH)
        if boxes:
            self.canvas.add_collection(PolyCollection(boxes, **style), autolim=False)

    def _panel(self, top: float, panel: Panel) -> None:
        axes = self._axes(top, place.PANEL)
        highest = max(step.rate for curve in panel.curves for step in curve.steps)
        axes.set_ylim(0.0, highest * 1.12 or 1.0)
        ticks = [0.0, highest] if highest else [0.0]
        axes.set_yticks(ticks, ["0", f"peak {_amount(highest)}"][: len(ticks)])
        axes.spines["bottom"].set_color("#b5b5b0")
        for start, stop in self.story.stalls:
            axes.axvspan(start, stop, color=BANDS["stall"], lw=0)
        for index, curve in enumerate(panel.curves):
            colour = CURVES[index % len(CURVES)]
            self._curve(axes, curve.steps, colour)
            name = _legend(panel, index)
            self._beside(place.PLOT + 8, top + 8 + 14 * index, name, color=colour, fontsize=SMALL)
        self._beside(-place.LEFT, top + 8, panel.title, fontweight="bold")
        self._beside(-place.LEFT + 10, top + 22, plain_line(panel.unit, 26), color=MUTED, fontsize=SMALL)

    def _curve(self, axes: Axes, steps: Sequence[Any], colour: str) -> None:
        xs: list[float] = []
        ys: list[float] = []
        for step in steps:
            if xs and step.start > xs[-1]:
                xs.append(step.start)
                ys.append(float("nan"))
            xs += [step.start, step.end]
            ys += [step.rate, step.rate]
        axes.fill_between(xs, ys, color=colour, alpha=0.13, lw=0)
        axes.plot(xs, ys, color=colour, lw=1.3, solid_joinstyle="round")

    def _lines(self) -> None:
        """Onset and certainty through all rows, each with its label in a row of its own."""
        overlay = self._axes(0.0, self.layout.bottom)
        overlay.set_ylim(self.layout.bottom, 0.0)
        overlay.axis("off")
        for top, (t, text, style) in zip(self.layout.callouts, self.callouts, strict=True):
            colour, dashes = LINES[style]
            overlay.plot([t, t], [top + 3, self.layout.bottom], color=colour, lw=1.2, ls=dashes)
            left = t > self.end / 2
            inset = (-6 if left else 6) * self.end / place.PLOT
            side = "right" if left else "left"
            self._text(t + inset, top + 7, text, color=colour, fontweight="bold", ha=side)


def _legend(panel: Panel, index: int) -> str:
    """The name of a curve beside its panel; if there is no room for all, the last line counts the rest."""
    if index >= _NAMES:
        return ""
    if index == _NAMES - 1 and len(panel.curves) > _NAMES:
        return f"and {len(panel.curves) - index} more"
    curve = panel.curves[index]
    return plain_line(", ".join(part for part in (curve.name, curve.host) if part), 26)


def _callouts(story: Story) -> list[tuple[float, str, str]]:
    """(time, label, style) of the vertical lines that the verdict gives."""
    lines = []
    if story.onset is not None:
        lines.append((story.onset, f"onset: last progress at {story.onset:.1f} s", "onset"))
    if story.certain is not None:
        later = f", {story.certain - story.onset:.1f} s later" if story.onset is not None else ""
        lines.append((story.certain, f"certain at {story.certain:.1f} s{later}", "certain"))
    return lines


def _groups(marks: Sequence[Mark], end: float) -> list[list[Mark]]:
    """Marks in groups, so that the pills of different groups do not touch."""
    groups: list[list[Mark]] = []
    taken = 0.0
    for mark in marks:
        x = min(mark.t * place.PLOT / end, place.PLOT - _pill_width("C10–12"))
        if groups and x < taken:
            groups[-1].append(mark)
        else:
            groups.append([mark])
            taken = x + _pill_width("C10–12")
    return groups


def _pill_width(label: str) -> float:
    return len(label) * 6.2 + 8


def _box(start: float, end: float, top: float) -> list[tuple[float, float]]:
    return [(start, top), (end, top), (end, top + place.BAR), (start, top + place.BAR)]


def _amount(value: float) -> str:
    """A rate with three significant figures and a suffix instead of an exponent."""
    for factor, suffix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{value / factor:.3g} {suffix}"
    return f"{value:.3g}"
