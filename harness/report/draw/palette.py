"""The report's colours. States differ in lightness too, for print in grey."""

from __future__ import annotations

from dataclasses import dataclass

from harness.report.read.lanes import State

INK, MUTED, UNKNOWN = "#22262b", "#5f666e", "#ececea"
BLOCKED_HATCH = "#96281b"
COLOURS: dict[State, str] = {
    State.FAST: "#a5d6b3",
    State.SLOW: "#f0b642",
    State.VERY_SLOW: "#cf4a3a",
    State.FAILED: "#55376f",
    State.BLOCKED: "#f7dcd7",
}
CURVES = ("#1f5f99", "#b0621b", "#4b7d3a", "#7a4a94", "#8a7a1e", "#6b6b6b")
BANDS = {"fault": "#e9e0f5", "stall": "#f6e3b4"}
LINES: dict[str, tuple[str, str]] = {"onset": ("#1d3f8a", "--"), "certain": ("#111111", "-")}


@dataclass(frozen=True, slots=True)
class Row:
    """A row of marks: its name, its contents in a few words, its colour."""

    name: str
    short: str
    colour: str


ROWS: dict[str, Row] = {
    "fault": Row("fault", "done to the hosts", "#6a4c93"),
    "console": Row("console", "the kernels reported", "#96281b"),
    "watch": Row("watch", "the harness concluded", "#2f5d73"),
}
