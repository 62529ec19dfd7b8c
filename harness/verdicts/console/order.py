"""A scanner that returns findings in the order of their headlines while the console is still being read."""

from __future__ import annotations

from harness.model.finding import Finding
from harness.verdicts.console.scanner import Scanner

__all__ = ["OrderedScanner"]


class OrderedScanner:
    """A `Scanner` that holds a finding back until every earlier report is complete."""

    def __init__(self) -> None:
        self._scanner = Scanner()
        self._held: list[Finding] = []

    def feed(self, data: bytes) -> list[Finding]:
        """Read more bytes; return the next findings, in the order of their headlines."""
        self._held += self._scanner.feed(data)
        return self._release(self._scanner.open_since)

    def close(self) -> list[Finding]:
        """End the console; return the remaining findings."""
        self._held += self._scanner.close()
        return self._release(None)

    def _release(self, open_since: int | None) -> list[Finding]:
        self._held.sort(key=lambda finding: finding.line)
        count = sum(open_since is None or finding.line <= open_since for finding in self._held)
        out, self._held = self._held[:count], self._held[count:]
        return out
