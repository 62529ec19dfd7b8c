"""The protocol for parts of a plan that measure something on the hosts of a trial."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from harness.model.measure import Measure
from harness.site.target import Site


@runtime_checkable
class Measuring(Protocol):
    """A part of a plan that reports figures after the load.

    It is called once, before tear-down, when hosts may be hung: every call has a deadline. It may write files into
    `evidence`. If it raises HarnessError, that is noted and its figures are left out.
    """

    def measures(self, site: Site, evidence: Path) -> Sequence[Measure]:
        """The figures."""
