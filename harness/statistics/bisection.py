"""Bisection by noisy tests: finds the first bad side when a bad side hangs in only some of its runs.

A joint Bayesian belief over the culprit and the unknown rate p at which a bad side hangs. A run on a bad side hangs
with probability p, on a good side with `FALSE_ALARM`. So a hang nearly proves that the culprit is at or before the
side; a survival only makes a later culprit likelier. The next test is the one with the largest expected information
about the culprit. Related: Burnashev and Zigangirov 1974 (noisy binary search), Ben-Or and Hassidim 2008.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from harness.statistics.orders import Flags, Floats, Order

# The rate at which a good side shows the hang nevertheless.
FALSE_ALARM = 1 / 500
# The prior probability that the good end is not good, and the one below which it counts as verified.
GOOD_END_WRONG = 0.05
GOOD_END_SETTLED = 0.02
# A rate stated by the user weighs as much as so many trials.
STATED_WEIGHS = 4.0
# The lowest rate for which the bad end gets enough runs to show the hang, if no rate was stated.
LOWEST_RATE = 0.1
# A side that was just run is run again while that gives at least this share of the best test's information. It saves
# a third of the builds or more, for 3 to 13 % more runs (512 commits that hang in 30 and 70 % of their runs).
STAY = 0.6
_NOTHING = 1e-9  # bits: rounding errors
_RATES = 24
_RAREST = 0.02  # the lowest rate considered


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The result: `culprits` that no test tells apart, likeliest first; `confidence` is their joint probability."""

    culprits: tuple[int, ...]
    confidence: float


class Belief:
    """The belief after the tests so far."""

    def __init__(self, order: Order, *, rate: float | None = None) -> None:
        self._order = order
        self._rates, prior = _rate_prior(rate)
        culprit = np.full(order.size, (1 - GOOD_END_WRONG) / (order.size - 1))
        culprit[0] = GOOD_END_WRONG
        self._weights: Floats = np.outer(culprit, prior)

    def learn(self, side: int, *, hung: bool) -> None:
        """Take one run of `side` into account."""
        affected = self._order.affected(side)
        self._weights[affected] *= self._rates if hung else 1 - self._rates
        self._weights[~affected] *= FALSE_ALARM if hung else 1 - FALSE_ALARM
        self._weights /= self._weights.sum()

    @property
    def culprit(self) -> Floats:
        """For each side the probability that it is the first bad one; for side 0, that the good end is not good."""
        marginal: Floats = self._weights.sum(axis=1)
        return marginal

    @property
    def rate(self) -> float:
        """The expected rate at which bad sides hang."""
        return float(self._weights.sum(axis=0) @ self._rates)

    @property
    def bad(self) -> Floats:
        """For each side the probability that it is bad."""
        summed: Floats = self._order.sums(self.culprit[:, None])[:, 0]
        return summed.clip(0.0, 1.0)

    def information(self) -> Floats:
        """For each side the expected information of one run about the culprit, in bits."""
        alone = self.culprit
        hanging = self._weights @ self._rates
        rate = np.divide(hanging, alone, out=np.zeros_like(alone), where=alone > 0)
        sums = self._order.sums(np.column_stack((alone, hanging, alone * _entropy(rate))))
        bad, hangs, known = sums[:, 0].clip(0.0, 1.0), sums[:, 1].clip(0.0, 1.0), sums[:, 2]
        expected = hangs + FALSE_ALARM * (1 - bad)
        gain: Floats = _entropy(expected) - known - (1 - bad) * _entropy(np.array(FALSE_ALARM))
        return gain

    def choose(self, testable: Flags, last: int | None = None) -> int | None:
        """The side to run next, None if no testable side would give information; `last` is the one just run."""
        gain = np.where(testable, self.information(), 0.0)
        best = int(gain.argmax())
        if gain[best] <= _NOTHING:
            return None
        if last is not None and gain[last] >= STAY * gain[best]:
            return last
        return best

    def answer(self, testable: Flags) -> Answer:
        """The likeliest culprit, with the sides that no testable side tells apart from it."""
        alone, classes = self.culprit, self._order.classes(testable)
        together = np.bincount(classes, weights=alone)
        best = int(together.argmax())
        members = np.flatnonzero(classes == best)
        ranked = members[np.argsort(-alone[members], kind="stable")]
        return Answer(culprits=tuple(int(side) for side in ranked), confidence=float(together[best]))

    def good_end_settled(self) -> bool:
        """Whether the good end has survived often enough to begin."""
        return bool(self.culprit[0] <= GOOD_END_SETTLED)


def runs_to_believe(rate: float | None, confidence: float) -> int:
    """How many survivals in a row show with `confidence` that a side is good, if bad ones hang at `rate`."""
    rate = LOWEST_RATE if rate is None else rate
    return 1 if rate >= 1 else max(1, math.ceil(math.log1p(-confidence) / math.log1p(-rate)))


def _rate_prior(stated: float | None) -> tuple[Floats, Floats]:
    """Rates and their prior probabilities, in bins that are narrow near 0 and 1.

    Without a stated rate, each order of magnitude is equally likely. A prior that is flat in the rate would take a
    lucky first hang for a high rate, and be overconfident for hangs that show in 10 to 30 % of the runs. A stated rate
    is mixed with this prior, half and half, so that the runs can contradict it.
    """
    edges = np.sin(np.linspace(0.0, np.pi / 2, _RATES + 1)) ** 2
    rates = np.sin((np.arange(_RATES) + 0.5) / _RATES * np.pi / 2) ** 2
    mass = np.diff(stats.loguniform(_RAREST, 1.0).cdf(edges))
    if stated is not None:
        mean = min(max(stated, _RAREST), 1 - _RAREST)
        mass = (mass + np.diff(stats.beta(STATED_WEIGHS * mean, STATED_WEIGHS * (1 - mean)).cdf(edges))) / 2
    return rates, mass / mass.sum()


def _entropy(share: Floats) -> Floats:
    """The entropy of a coin with probability `share`, in bits."""
    bits: Floats = (special.entr(share) + special.entr(1 - share)) / math.log(2)
    return bits
