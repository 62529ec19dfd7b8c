"""Survival analysis: times until something happens, with runs that ended before it (censored)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from scipy import stats


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Times in seconds: `hits` until it happened, `censored` until a run ended without it."""

    hits: tuple[float, ...] = ()
    censored: tuple[float, ...] = ()

    @property
    def median(self) -> float | None:
        """The median of `hits`, None without any."""
        return median(self.hits) if self.hits else None

    @property
    def longest(self) -> float | None:
        """The longest of `hits`, None without any."""
        return max(self.hits, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The share of runs still without it from `time` on, with its 95 % interval from `low` to `high`.

    At a share of 1 or 0 there is no interval: both bounds are the share.
    """

    time: float
    share: float
    low: float
    high: float


def curve(times: Times) -> list[Step]:
    """Kaplan and Meier's estimate, from time 0; intervals by the log-log transform. Empty without any run."""
    if not (times.hits or times.censored):
        return []
    start = Step(time=0.0, share=1.0, low=1.0, high=1.0)
    if not times.hits:
        return [start]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # If every run or none is left, the transform of the share is infinite.
        warnings.simplefilter("ignore", RuntimeWarning)
        function = stats.ecdf(_data(times)).sf
        interval: Any = function.confidence_interval(method="log-log")
    steps = zip(
        function.quantiles, function.probabilities, interval.low.probabilities, interval.high.probabilities, strict=True
    )
    found = [Step(time=float(t), share=float(p), low=_or(low, p), high=_or(high, p)) for t, p, low, high in steps]
    return [start, *found]


def log_rank(a: Times, b: Times) -> float | None:
    """The two-sided p of "it takes equally long on both sides" (log-rank test); None if it never happened."""
    if not (a.hits or b.hits) or not all(times.hits or times.censored for times in (a, b)):
        return None
    with np.errstate(all="ignore"):
        p = float(stats.logrank(_data(a), _data(b)).pvalue)
    return None if np.isnan(p) else p  # for example if all hits are at one instant


def _data(times: Times) -> stats.CensoredData:
    return stats.CensoredData(uncensored=list(times.hits), right=list(times.censored))


def _or(value: float, default: float) -> float:
    return float(default if np.isnan(value) else value)
