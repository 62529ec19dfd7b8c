"""Figures of the parts of a trial."""

from __future__ import annotations

from pathlib import Path

from harness.model.errors import HarnessError
from harness.model.events import Note
from harness.monitors.recorder import Recorder
from harness.site.measuring import Measuring
from harness.site.target import Site
from harness.trial.plan import Plan


def measuring(plan: Plan) -> list[Measuring]:
    """The parts of a plan that have figures."""
    return [part for part in plan.parts if isinstance(part, Measuring)]


def record(part: Measuring, site: Site, evidence: Path, recorder: Recorder) -> None:
    """Record the figures of one part; a failure is recorded as a note."""
    try:
        for found in part.measures(site, evidence):
            recorder.emit(found)
    except HarnessError as error:
        recorder.emit(Note(text=f"no figures of {type(part).__name__}: {error}"))
