"""Whatever measures something on the hosts of a trial."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from harness.model.measure import Measure
from harness.site.target import Site


@runtime_checkable
class Measuring(Protocol):
    """A part of a plan that has figures to tell after the load.

    It is asked once, before tear-down, when hosts may be hung: every call has a deadline. It may write files into
    `evidence`, and raise HarnessError, which is noted and leaves its figures out.
    """

    def measures(self, site: Site, evidence: Path) -> Sequence[Measure]:
        """The figures."""
