"""What runs beside the load of a trial and measures: canaries, a look at sockets, a packet capture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from harness.model.measure import Measure
from harness.targets.target import Site


class Instrument(Protocol):
    """Prepared while memory is plentiful, launched just before the load, asked after it (`targets.measuring`)."""

    def describe(self) -> str:
        """What it does, in a few words."""

    def prepare(self, site: Site) -> None:
        """Put everything in place that it will need."""

    def launch(self, site: Site) -> None:
        """Set it going; returns at once."""

    def measures(self, site: Site, evidence: Path) -> Sequence[Measure]:
        """See `Measuring.measures`."""
