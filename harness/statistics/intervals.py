"""How often something happens, as far as some runs tell."""

from __future__ import annotations

import math

from scipy import stats

CONFIDENCE = 0.95


def rate_interval(hits: int, runs: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The rate's two-sided interval after Clopper and Pearson: never too narrow, however few runs there are.

    For a number of runs that was fixed beforehand; everything between 0 and 1 where there was none.
    """
    if not runs:
        return 0.0, 1.0
    found = stats.binomtest(hits, runs).proportion_ci(confidence, method="exact")
    return float(found.low), float(found.high)


def highest_rate(runs: int, confidence: float = CONFIDENCE) -> float:
    """The highest rate that is not excluded by `runs` runs without a hit: about 3 / runs, the rule of three."""
    if not runs:
        return 1.0
    return float(stats.binomtest(0, runs, alternative="less").proportion_ci(confidence, method="exact").high)


def runs_to_exclude(rate: float, confidence: float = CONFIDENCE) -> int:
    """How many runs without a hit exclude `rate` (0 < rate < 1): as many as would have shown it, were it so high."""
    return math.ceil(math.log1p(-confidence) / math.log1p(-rate))
