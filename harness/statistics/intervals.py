"""Confidence intervals of rates."""

from __future__ import annotations

import math

from scipy import stats

CONFIDENCE = 0.95


def rate_interval(hits: int, runs: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The two-sided Clopper-Pearson interval of a rate: never too narrow, even for few runs.

    For a number of runs fixed beforehand; 0 to 1 without any run.
    """
    if not runs:
        return 0.0, 1.0
    found = stats.binomtest(hits, runs).proportion_ci(confidence, method="exact")
    return float(found.low), float(found.high)


def highest_rate(runs: int, confidence: float = CONFIDENCE) -> float:
    """The highest rate that `runs` runs without a hit do not exclude: about 3 / runs, the rule of three."""
    if not runs:
        return 1.0
    return float(stats.binomtest(0, runs, alternative="less").proportion_ci(confidence, method="exact").high)


def runs_to_exclude(rate: float, confidence: float = CONFIDENCE) -> int:
    """How many runs without a hit exclude `rate` (0 < rate < 1), since at that rate they would have shown one."""
    return math.ceil(math.log1p(-confidence) / math.log1p(-rate))
