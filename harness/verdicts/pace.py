"""Detection of a crawl: progress continues, but under a small share of the trial's own baseline."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import pairwise

from harness.verdicts.policy import Policy

SPARSE = 5  # windows that are combined if progress comes less than once in one of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Crawl:
    """Since `begin_s` progress has been `share` of `baseline` (operations a second)."""

    begin_s: float
    share: float
    baseline: float


class Pace:
    """The newest operations of the load: `crawl` if they are too few, `recovered` once they are enough again.

    In the average, a stop that just began or just ended looks like a crawl. So a crawl needs progress in the newer half
    of the window, spread over a third of it, and the newest third must be slow as well.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.baseline = 0.0
        self._points: deque[tuple[float, int]] = deque()
        self._share = 1.0

    def add(self, now: float, ops: int, share: float = 1.0) -> None:
        """Add the operations done until now; `share` of the workers still run, the others have finished."""
        if self._points and ops < self._points[-1][1]:
            self._points.clear()  # another workload
        self._points.append((now, ops))
        self._share = share
        # One point at or before the beginning of twice the longest window stays.
        while len(self._points) > 2 and self._points[1][0] <= now - 2 * SPARSE * self.policy.livelock_s:
            self._points.popleft()

    @property
    def crawl(self) -> Crawl | None:
        """The crawl of the newest window, or None."""
        window = self.policy.livelock_s
        if self._spread(window):
            return self._slow(window)
        return self._slow(SPARSE * window) if self._moves_in_each_third(SPARSE * window) else None

    def forget(self) -> None:
        """Start anew after a time in which the harness did not listen."""
        self._points.clear()

    def _spread(self, window: float) -> bool:
        if not self._points:
            return False
        now = self._points[-1][0]
        moves = self._moves(now - window)
        return bool(moves) and moves[-1] >= now - window / 2 and moves[-1] - moves[0] >= window / 3

    def _moves_in_each_third(self, window: float) -> bool:
        if not self._points:
            return False
        begin = self._points[-1][0] - window
        return {int(3 * (move - begin) / window) for move in self._moves(begin)} >= {0, 1, 2}

    def _slow(self, window: float) -> Crawl | None:
        if not self.baseline or not self._points or self._points[-1][0] - self._points[0][0] < window:
            return None
        now = self._points[-1][0]
        if self._rate(window / 3) >= self._limit or self._rate(window) >= self._limit:
            return None
        begin, ops = next(point for point in self._points if self._rate_since(point) < self._limit)
        share = (self._points[-1][1] - ops) / (now - begin) / self.baseline
        return Crawl(begin_s=begin, share=share, baseline=self.baseline)

    @property
    def recovered(self) -> bool:
        """Whether the newest third of a window reached twice the limit, so that the state does not flicker."""
        return bool(self.baseline and self._points) and self._rate(self.policy.livelock_s / 3) >= 2 * self._limit

    @property
    def _limit(self) -> float:
        return self.policy.livelock_share * self.baseline * self._share

    def _moves(self, begin: float) -> list[float]:
        """Times at which the number of operations grew."""
        return [new[0] for old, new in pairwise(self._points) if new[1] > old[1] and new[0] >= begin]

    def _rate(self, seconds: float) -> float:
        """Operations a second over roughly the newest `seconds`."""
        begin = self._points[-1][0] - seconds
        point = next(point for point in reversed(self._points) if point[0] <= begin or point is self._points[0])
        return self._rate_since(point)

    def _rate_since(self, point: tuple[float, int]) -> float:
        now, ops = self._points[-1]
        return (ops - point[1]) / (now - point[0]) if now > point[0] else 0.0
