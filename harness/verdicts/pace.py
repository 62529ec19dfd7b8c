"""Whether progress crawls: under a small share of the trial's own baseline for a whole window."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from harness.model.history import Event, Kind
from harness.verdicts.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Crawl:
    """A window of `seconds` in which progress was `share` of `baseline` (operations a second)."""

    begin_s: float
    certain_s: float
    seconds: float
    share: float
    baseline: float


class Pace:
    """Feed it the events of the load; `crawl` is set once a whole window was too slow."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._baseline = 0.0
        self._points: deque[tuple[float, int]] = deque()
        self.crawl: Crawl | None = None

    def feed(self, event: Event) -> None:
        """Take one event in."""
        if event.kind is Kind.BASELINE:
            self._baseline = float(event.data["ops_per_s"])
        elif event.kind is Kind.PROGRESS:
            self._add(event.t, int(event.data["ops"]))

    def _add(self, now: float, ops: int) -> None:
        self._points.append((now, ops))
        # Keep one point at or before the beginning of the window.
        while len(self._points) > 2 and self._points[1][0] <= now - self._policy.livelock_s:
            self._points.popleft()
        begin, first = self._points[0]
        seconds = now - begin
        if not self._baseline or seconds < self._policy.livelock_s or ops == first:
            return
        share = (ops - first) / seconds / self._baseline
        if self.crawl is None and share < self._policy.livelock_share:
            self.crawl = Crawl(begin_s=begin, certain_s=now, seconds=seconds, share=share, baseline=self._baseline)
