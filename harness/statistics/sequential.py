"""A sequential test for the difference of two rates, evaluated after every pair of runs; it may stop at any time.

A pair is one run of each side. After each pair, an e-value measures the evidence against "both sides have the same
rate". While that is true, its mean is at most 1, so the chance that it *ever* reaches 1/alpha is at most alpha (Ville,
1939). Each pair multiplies it by a likelihood ratio: of the rates estimated from earlier pairs, to the nearest pair of
equal rates. This is the test of R. J. Turner, A. Ly and P. D. Grünwald, "Generic E-variables for exact sequential
k-sample tests that allow for optional stopping" (Journal of Statistical Planning and Inference 230, 2024), with blocks
of one run of each side and their recommended prior, beta(0.18, 0.18) for each rate.

Two more e-values, one for each side, measure the evidence against "this side's rate is higher by `gap` or more". They
end the comparison if there is no difference worth knowing (R. J. Turner and P. D. Grünwald, "Exact anytime-valid
confidence intervals for contingency tables and beyond", Statistics & Probability Letters 198, 2023). Their ratio is to
the nearest pair of rates with such a gap. Its mean is at most 1: it is a product of two functions that are linear in
the rates, so its logarithm is concave. The logarithm is 0 at the nearest pair and, by the choice of that pair, rises
nowhere into the convex set.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import betaln, xlog1py, xlogy

from harness.statistics.claims import ALPHA, BETA, GAP, Decision

_PRIOR = 0.18
_HALVINGS = 45
_TINY = 1e-12

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Logarithms of e-values after each pair (last axis): against equal rates, and against a gap on either side."""

    different: Floats
    a_higher: Floats
    b_higher: Floats

    @property
    def alike(self) -> Floats:
        """Against a gap on both sides: the smaller of the two."""
        return np.minimum(self.a_higher, self.b_higher)

    def decided(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """After each pair: whether a difference may be claimed, and whether "none worth knowing" may be."""
        return self.different >= -math.log(ALPHA), self.alike >= -math.log(BETA)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A comparison after `pairs` pairs. It was decided `after` so many (None: not yet); later pairs change nothing.

    `p` is the p-value of equal rates, `p_gap` that of a gap; both are valid at any time.
    """

    pairs: int
    decision: Decision
    p: float
    p_gap: float
    after: int | None


def look(hits_a: ArrayLike, hits_b: ArrayLike, *, gap: float = GAP) -> Look:
    """The result of the pairs; each has an entry in both sequences, in the planned order."""
    evidence = weigh(hits_a, hits_b, gap=gap)
    different, alike = evidence.decided()
    ends = np.flatnonzero(different | alike)
    decision = Decision.OPEN
    if ends.size:
        decision = Decision.DIFFERENT if different[ends[0]] else Decision.ALIKE
    return Look(
        pairs=different.size,
        decision=decision,
        p=math.exp(-float(np.max(evidence.different, initial=0.0))),
        p_gap=math.exp(-float(np.max(evidence.alike, initial=0.0))),
        after=int(ends[0]) + 1 if ends.size else None,
    )


def weigh(hits_a: ArrayLike, hits_b: ArrayLike, *, gap: float = GAP) -> Evidence:
    """E-values after each pair; axes before the last are separate comparisons. 0 < gap < 1."""
    a, b = np.asarray(hits_a, dtype=bool), np.asarray(hits_b, dtype=bool)
    rate_a, rate_b = _learned(a), _learned(b)
    middle = (rate_a + rate_b) / 2
    high_a, low_b = _nearest(rate_a, rate_b, gap)
    high_b, low_a = _nearest(rate_b, rate_a, gap)
    return Evidence(
        different=np.cumsum(_log_ratio(a, rate_a, middle) + _log_ratio(b, rate_b, middle), axis=-1),
        a_higher=np.cumsum(_log_ratio(a, rate_a, high_a) + _log_ratio(b, rate_b, low_b), axis=-1),
        b_higher=np.cumsum(_log_ratio(a, rate_a, low_a) + _log_ratio(b, rate_b, high_b), axis=-1),
    )


def running_interval(hits: int, runs: int, alpha: float = ALPHA) -> tuple[float, float]:
    """Bounds of a rate that hold simultaneously after every run (1 - alpha), so they stay valid at any stop.

    The rates whose likelihood is at least alpha times that of a beta(1/2, 1/2) mixture (H. Robbins, Annals of
    Mathematical Statistics 41, 1970).
    """
    mixture = betaln(hits + 0.5, runs - hits + 0.5) - betaln(0.5, 0.5)

    def excess(rate: float) -> float:
        return float(mixture - xlogy(hits, rate) - xlog1py(runs - hits, -rate) + math.log(alpha))

    best = hits / runs if runs else 0.5
    low = brentq(excess, _TINY, best) if hits and excess(_TINY) > 0 else 0.0
    high = brentq(excess, best, 1 - _TINY) if hits < runs and excess(1 - _TINY) > 0 else 1.0
    return float(low), float(high)


def _learned(hits: NDArray[np.bool_]) -> Floats:
    """The rate expected of each run from the earlier ones."""
    seen = hits.astype(np.float64)
    before: Floats = np.cumsum(seen, axis=-1) - seen
    return (before + _PRIOR) / (np.arange(hits.shape[-1], dtype=np.float64) + 2 * _PRIOR)


def _nearest(upper: Floats, lower: Floats, gap: float) -> tuple[Floats, Floats]:
    """The rates with upper - lower >= gap that are nearest in Kullback-Leibler divergence: unchanged, or on the edge.

    The divergence is convex along the edge, so the sign of its slope brackets the minimum. Rates repeat a lot in many
    comparisons of the same length, so each distinct pair is computed once.
    """
    distinct, back = np.unique(upper + 1j * lower, return_inverse=True)
    q, r = distinct.real, distinct.imag
    left, right = np.full_like(q, gap), np.ones_like(q)
    for _ in range(_HALVINGS):
        p = (left + right) / 2
        rises = (p - q) * (p - gap) * (1 - p + gap) + (p - gap - r) * p * (1 - p) > 0
        left, right = np.where(rises, left, p), np.where(rises, p, right)
    inside = q - r >= gap
    high, low = np.where(inside, q, (left + right) / 2), np.where(inside, r, (left + right) / 2 - gap)
    return high[back].reshape(upper.shape), low[back].reshape(upper.shape)


def _log_ratio(hits: NDArray[np.bool_], to: Floats, of: Floats) -> Floats:
    return np.where(hits, np.log(to / of), np.log1p(-to) - np.log1p(-of))
