"""Kernel console text to findings.

`scan(data)` reads a whole console. `Scanner` reads one as it arrives: `feed` returns the findings that are complete,
`pending` the report that has begun, `close` what was open when the console ended. `OrderedScanner` does so in the
order of the headlines. `decisive` picks the one finding that says most about why a run ended.
"""

from __future__ import annotations

from harness.verdicts.console.decide import decisive
from harness.verdicts.console.order import OrderedScanner
from harness.verdicts.console.scanner import Scanner, scan

__all__ = ["OrderedScanner", "Scanner", "decisive", "scan"]
