"""Layout of a timeline: rows in points from the top, one horizontal scale for all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.report.read.lanes import Lane

LEFT, PLOT, RIGHT = 212.0, 822.0, 166.0
WIDTH = LEFT + PLOT + RIGHT
LANE, BAR = 18.0, 12.0
CALLOUT, PHASE, MARK, HOST, PANEL, PANEL_GAP, AXIS = 17.0, 21.0, 19.0, 25.0, 78.0, 20.0, 42.0


@dataclass(slots=True)
class Layout:
    """Tops of rows, in points from the top of the drawing; `bottom` is where the axis begins."""

    callouts: list[float] = field(default_factory=list)
    phases: float = 0.0
    marks: dict[str, float] = field(default_factory=dict)
    hosts: dict[str, float] = field(default_factory=dict)
    lanes: list[float] = field(default_factory=list)
    panels: list[float] = field(default_factory=list)
    bottom: float = 0.0

    @property
    def height(self) -> float:
        """Height of the whole drawing, in points."""
        return self.bottom + AXIS


def make_layout(*, callouts: int, mark_rows: Sequence[str], lanes: Sequence[Lane], panels: int) -> Layout:
    """Stack the rows: callouts, phases, marks, the lanes of each host under its name, then the panels."""
    layout = Layout()
    y = 6.0
    for _ in range(callouts):
        layout.callouts.append(y)
        y += CALLOUT
    layout.phases = y = y + 2
    y += PHASE
    for row in mark_rows:
        layout.marks[row] = y
        y += MARK
    for lane in lanes:
        if lane.host not in layout.hosts:
            layout.hosts[lane.host] = y
            y += HOST
        layout.lanes.append(y)
        y += LANE
    for _ in range(panels):
        layout.panels.append(y + PANEL_GAP)
        y += PANEL_GAP + PANEL
    layout.bottom = y + 4
    return layout
