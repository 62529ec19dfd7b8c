"""The figures that the parts of a trial have to tell."""

from __future__ import annotations

from pathlib import Path

from harness.model.errors import HarnessError
from harness.model.events import Note
from harness.monitors.recorder import Recorder
from harness.site.measuring import Measuring
from harness.site.target import Site
from harness.trial.plan import Plan


def measuring(plan: Plan) -> list[Measuring]:
    """The parts of a plan that have figures to tell."""
    return [part for part in plan.parts if isinstance(part, Measuring)]


def record(part: Measuring, site: Site, evidence: Path, recorder: Recorder) -> None:
    """Ask one of them; that it cannot tell is noted."""
    try:
        for found in part.measures(site, evidence):
            recorder.emit(found)
    except HarnessError as error:
        recorder.emit(Note(text=f"no figures of {type(part).__name__}: {error}"))
