"""Kernel console text to findings.

`scan(data)` reads a whole console. `Scanner` reads one as it arrives: `feed` returns the complete findings,
`pending` the report that has begun, `close` the reports still open when the console ends. `OrderedScanner` returns
findings in the order of their headlines. `decisive` picks the finding that best explains why a run ended.
"""

from __future__ import annotations

from harness.verdicts.console.decide import decisive
from harness.verdicts.console.order import OrderedScanner
from harness.verdicts.console.scanner import Scanner, scan

__all__ = ["OrderedScanner", "Scanner", "decisive", "scan"]
