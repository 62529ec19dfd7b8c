"""The state of a bisection, computed only from its runs so far."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from harness.bisect.candidates import Candidates
from harness.bisect.log import NO_TRIAL, Run
from harness.bisect.signature import BAD, GOOD, SKIP, Signature, read_signature
from harness.model.errors import UsageError
from harness.statistics.bisection import Answer, Belief, runs_to_believe


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """The user's settings: `rate` is the share of runs that hang, if known; `signature` is looked for, if stated."""

    confidence: float = 0.95
    rate: float | None = None
    signature: Signature | None = None


class End(StrEnum):
    """The ways in which a bisection ends."""

    FOUND = "found"
    NOT_REPRODUCED = "not reproduced"
    GOOD_IS_BAD = "good is bad"
    BAD_UNTESTABLE = "bad untestable"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """The end of a bisection, and the likeliest culprit then."""

    end: End
    answer: Answer


class State:
    """The evidence of the runs so far, and the choice of the next run."""

    def __init__(self, candidates: Candidates, setting: Setting) -> None:
        self.candidates = candidates
        self.signature = setting.signature
        self._setting = setting
        self._belief = Belief(candidates.order, rate=setting.rate)
        self._size = len(candidates.sides)
        self._places = {side.key: place for place, side in enumerate(candidates.sides)}
        self._testable = np.ones(self._size, dtype=np.bool_)
        self._seen: Counter[tuple[int, str]] = Counter()
        self._decided: dict[int, str] = {}
        self._last: int | None = None

    def take(self, run: Run) -> list[tuple[int, str]]:
        """Take one run into account; returns the sides that it decides, as good, bad or skip.

        Raises UsageError for a side that is not among the candidates.
        """
        place = self._places.get(run.key)
        if place is None:
            raise UsageError(f"the log has a run of {run.key}, which is not bisected here")
        self._seen[place, run.word] += 1
        self._last = place
        if run.word == SKIP:
            return self._skip(place, run)
        if run.word == BAD and self.signature is None:
            self.signature = read_signature(run.why)
        self._belief.learn(place, hung=run.word == BAD)
        return self._newly_decided()

    def next(self) -> int | Conclusion:
        """The side to run next, or the end."""
        good_end, bad_end = 0, self._size - 1
        if not self._seen[bad_end, BAD]:
            return self._reproduce(bad_end)
        if self._belief.culprit[good_end] >= self._setting.confidence:
            return self._end(End.GOOD_IS_BAD)
        if self._testable[good_end] and not self._belief.good_end_settled():
            return good_end
        if self._belief.answer(self._testable).confidence >= self._setting.confidence:
            return self._end(End.FOUND)
        best = self._belief.choose(self._testable, self._last)
        return self._end(End.UNDECIDED) if best is None else best

    @property
    def rate(self) -> float:
        """The estimated share of a bad side's runs that hang."""
        return self._belief.rate

    @property
    def likeliest(self) -> tuple[int, float]:
        """The side that is most likely the first bad one, and the probability of that."""
        culprit = self._belief.culprit
        place = int(culprit.argmax())
        return place, float(culprit[place])

    @property
    def left(self) -> int:
        """How many sides contain the culprit with the confidence asked for."""
        ranked = np.sort(self._belief.culprit)[::-1].cumsum()
        return int(np.searchsorted(ranked, self._setting.confidence)) + 1

    @property
    def runs(self) -> Counter[str]:
        """How many runs were good, bad and skipped."""
        return sum((Counter({word: count}) for (_, word), count in self._seen.items()), Counter())

    def _reproduce(self, bad_end: int) -> int | Conclusion:
        if not self._testable[bad_end]:
            return self._end(End.BAD_UNTESTABLE)
        if self._seen[bad_end, GOOD] >= runs_to_believe(self._setting.rate, self._setting.confidence):
            return self._end(End.NOT_REPRODUCED)
        return bad_end

    def _end(self, end: End) -> Conclusion:
        return Conclusion(end=end, answer=self._belief.answer(self._testable))

    def _skip(self, place: int, run: Run) -> list[tuple[int, str]]:
        """Leave out a side that does not build, or whose runs mostly have no usable verdict."""
        tested = self._seen[place, GOOD] + self._seen[place, BAD]
        if run.trial != NO_TRIAL and self._seen[place, SKIP] <= 2 * tested + 1:
            return []
        self._testable[place] = False
        return [(place, SKIP)]

    def _newly_decided(self) -> list[tuple[int, str]]:
        """Sides with runs that became good or bad with the confidence asked for."""
        bad = self._belief.bad
        new = []
        for place in sorted({place for place, word in self._seen if word != SKIP}, reverse=True):
            for word, share in ((BAD, bad[place]), (GOOD, 1 - bad[place])):
                if share >= self._setting.confidence and self._decided.get(place) != word:
                    self._decided[place] = word
                    new.append((place, word))
        return new
