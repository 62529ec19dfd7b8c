"""An instrument that is launched some time after the load."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.model.measure import Measure
from harness.site.capabilities import Capabilities, required_by
from harness.site.target import Site


class Part(Protocol):
    """The part of an instrument (harness/monitors/instrument.py) that `Later` needs."""

    def describe(self) -> str:
        """The part in a few words."""

    def prepare(self, site: Site) -> None:
        """Put everything in place that the part will need."""

    def launch(self, site: Site) -> None:
        """Start the part; returns at once."""

    def measures(self, site: Site, evidence: Path) -> Sequence[Measure]:
        """See `Measuring.measures`; ends the part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Later:
    """`part`, such as a hog, is launched `at_s` seconds after the load began."""

    part: Part
    at_s: float = 0.0
    heal_after_s: float | None = None

    def describe(self) -> str:
        """See `Fault.describe`."""
        return self.part.describe()

    def requires(self) -> Capabilities:
        """See `Requiring.requires`."""
        return required_by(self.part)

    def prepare(self, site: Site) -> None:
        """See `faults.base.Prepared`."""
        self.part.prepare(site)

    def inject(self, site: Site) -> None:
        """See `Fault.inject`."""
        self.part.launch(site)

    def heal(self, site: Site) -> None:
        """Nothing to undo: `measures` ends the part."""

    def measures(self, site: Site, evidence: Path) -> Sequence[Measure]:
        """See `Measuring.measures`."""
        return self.part.measures(site, evidence)
