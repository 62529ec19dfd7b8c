"""Rates of events in a time: what was seen, and what can be excluded. Pure."""

from __future__ import annotations

from dataclasses import dataclass

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """`count` events in `hours`; `low` and `high` are the exact Poisson limits in events an hour (Garwood 1936).

    Without an event, `high` is one-sided: -ln(0.05) / hours, 3 events in that time.
    """

    count: int
    hours: float
    low: float
    high: float

    def __str__(self) -> str:
        """The rate with its limits."""
        if not self.count:
            return f"a rate above {_figure(self.high)} an hour is excluded, {CONFIDENCE:.0%}"
        seen, low, high = map(_figure, (self.count / self.hours, self.low, self.high))
        return f"{seen} an hour ({low} to {high}, {CONFIDENCE:.0%})"


def _figure(value: float) -> str:
    """Two digits, and never an exponent that people have to read."""
    return f"{value:.2g}" if value < 100 else f"{value:.0f}"


def rate_of(count: int, hours: float) -> Rate:
    """The rate of `count` events in `hours`; raises ValueError without any time."""
    from scipy.stats import chi2

    if hours <= 0:
        raise ValueError("a rate needs some time")
    if not count:
        return Rate(count=0, hours=hours, low=0.0, high=float(chi2.ppf(CONFIDENCE, 2)) / 2 / hours)
    tail = (1 - CONFIDENCE) / 2
    low = float(chi2.ppf(tail, 2 * count)) / 2 / hours
    high = float(chi2.ppf(1 - tail, 2 * count + 2)) / 2 / hours
    return Rate(count=count, hours=hours, low=low, high=high)
