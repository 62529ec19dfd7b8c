"""Kaplan-Meier curves of both sides: how long runs stay without a hang."""

from __future__ import annotations

import io
from collections.abc import Sequence

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from harness.report.draw.palette import CURVES, INK, MUTED
from harness.report.draw.svg import STYLE, embed
from harness.report.read.comparison import Side
from harness.results.text import plain_line

WIDTH, HEIGHT = 12.0, 4.0  # inches, of 72 points
TEXT, SMALL = 11.5, 10.5
_NAME = 40  # letters of a side's name beside its curve
_LINES = ("-", (0, (5, 2)))  # differ in grey print, too
_TOP = 1.04
_APART = 0.09  # distance of names beside the curves, as a share of the height


def draw_survival(sides: Sequence[Side], *, prefix: str, title: str) -> str:
    """The curves as an `<svg>` element, safe to put into a page; empty if no run has a time."""
    end = max((step.time for side in sides for step in side.steps), default=0.0)
    end = max([end, *(time for side in sides for time in (*side.hits_after, *side.ended))])
    if not end:
        return ""
    with rc_context({**STYLE, "svg.hashsalt": prefix}):
        figure = Figure(figsize=(WIDTH, HEIGHT), facecolor="none")
        axes = _axes(figure, end)
        for side, colour, line in zip(sides, CURVES, _LINES, strict=False):
            _curve(axes, side, colour, line)
        _names(axes, [(side, colour) for side, colour in zip(sides, CURVES, strict=False) if side.steps])
        document = io.BytesIO()
        figure.savefig(document, format="svg", transparent=True, metadata={"Date": None})
    return embed(document.getvalue(), prefix=prefix, title=title)


def _axes(figure: Figure, end: float) -> Axes:
    axes = figure.add_axes((0.07, 0.16, 0.66, 0.76), facecolor="none")
    axes.set_xlim(0.0, end * 1.02)
    axes.set_ylim(0.0, _TOP)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=SMALL, colors=MUTED, width=0.6)
    axes.xaxis.set_major_locator(MaxNLocator(9))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.yaxis.grid(True, color="#e4e4e0", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel("seconds of load", fontsize=TEXT, color=INK)
    axes.set_ylabel("runs still without", fontsize=TEXT, color=INK)
    return axes


def _curve(axes: Axes, side: Side, colour: str, line: object) -> None:
    if not side.steps:
        return
    last = max([side.steps[-1].time, *side.ended])
    steps = [*side.steps, side.steps[-1]]
    times = [*(step.time for step in side.steps), last]
    band = ([step.low for step in steps], [step.high for step in steps])
    axes.fill_between(times, *band, step="post", color=colour, alpha=0.13, linewidth=0)
    axes.step(times, [step.share for step in steps], where="post", color=colour, linewidth=2.2, linestyle=line)
    axes.plot(side.ended, [_share(side, time) for time in side.ended], "|", color=colour, markersize=11, clip_on=False)


def _share(side: Side, time: float) -> float:
    return [step.share for step in side.steps if step.time <= time][-1]


def _names(axes: Axes, sides: Sequence[tuple[Side, str]]) -> None:
    """Put each side's name at the end of its curve, moved if names would overlap."""
    heights = _spread([side.steps[-1].share for side, _ in sides])
    for (side, colour), height in zip(sides, heights, strict=True):
        axes.annotate(
            plain_line(f"{side.key}: {side.name}", _NAME),
            (1.01, height / _TOP),
            xycoords="axes fraction",
            color=colour,
            fontsize=TEXT,
            fontweight="bold",
            va="center",
            annotation_clip=False,
            parse_math=False,
        )


def _spread(ends: list[float]) -> list[float]:
    if len(ends) < 2 or abs(ends[0] - ends[1]) >= _APART:
        return ends
    middle = min(max(sum(ends) / 2, _APART / 2), 1.0 - _APART / 2)
    up = _APART / 2 if ends[0] >= ends[1] else -_APART / 2
    return [middle + up, middle - up]
