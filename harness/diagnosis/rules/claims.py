"""Claims: the result of one rule on a case."""

from __future__ import annotations

from dataclasses import dataclass

from harness.diagnosis.graph.hang_model import Case
from harness.model.diagnosis import Cited, Confidence
from harness.model.hang_classes import HangClass

__all__ = ["Claim", "by_gaps", "lower", "waiting"]

_ORDER = (Confidence.LOW, Confidence.MEDIUM, Confidence.HIGH)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A class of hang with its reasons; `focus` are the nodes to show if the case has too many."""

    hang_class: HangClass
    confidence: Confidence
    title: str
    explanation: str
    cycle: tuple[str, ...] = ()
    leaves: str = ""
    evidence: tuple[Cited, ...] = ()
    focus: tuple[str, ...] = ()

    @property
    def rank(self) -> int:
        """The confidence as a number; higher is surer."""
        return _ORDER.index(self.confidence)


def by_gaps(case: Case, cycle: list[str]) -> Confidence:
    """The confidence in a cycle, by the number of its edges that are only implied."""
    return {0: Confidence.HIGH, 1: Confidence.MEDIUM}.get(case.unsure(cycle), Confidence.LOW)


def lower(one: Confidence, other: Confidence) -> Confidence:
    """The lower of two confidences."""
    return min(one, other, key=_ORDER.index)


def waiting(count: int) -> str:
    """The number of waiting tasks in words."""
    return "1 task waits" if count == 1 else f"{count} tasks wait"
