"""Choice of the decisive finding of a console."""

from __future__ import annotations

from collections.abc import Sequence

from harness.model.finding import Finding
from harness.model.finding import FindingKind as Kind

__all__ = ["decisive"]

_CIRCUMSTANCES = frozenset({Kind.OOM_KILL, Kind.PAGE_ALLOC_FAILURE, Kind.STORAGE_TIMEOUT, Kind.IO_ERROR, Kind.REBOOT})


def decisive(findings: Sequence[Finding]) -> Finding | None:
    """The first finding that is not just a side effect, else the first one, else None.

    The first report is the closest to the cause. Later ones are consequences: a panic because a warning was set to
    panic, stalls after an oops. Memory shortage, failing storage and a reboot accompany causes and consequences alike.
    """
    ordered = sorted(findings, key=lambda finding: finding.line)
    return next((f for f in ordered if f.kind not in _CIRCUMSTANCES), ordered[0] if ordered else None)
