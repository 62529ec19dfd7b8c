"""The signature that a bisection looks for: the kind of verdict, and the class of hang or the crash's headline."""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.model.diagnosis import Confidence, Diagnosis
from harness.model.errors import UsageError
from harness.model.hang_classes import HangClass
from harness.model.verdict import Verdict, VerdictKind

NOTHING_SAID = frozenset({VerdictKind.INCONCLUSIVE, VerdictKind.LOST})
# Outcomes from which a run does not recover by itself, so a stalled run is good.
FOR_GOOD = frozenset({VerdictKind.DEADLOCKED, VerdictKind.LOCKED_UP, VerdictKind.CRASHED})
GOOD, BAD, SKIP = "good", "bad", "skip"


@dataclass(frozen=True, slots=True)
class Signature:
    """A kind of verdict, and in `what` the class of hang or the crash's headline; "" if that is not clear."""

    kind: VerdictKind
    what: str = ""

    def __str__(self) -> str:
        """Text that `read_signature` can read."""
        return f"{self.kind.value}, {self.what}" if self.what else self.kind.value

    def fits(self, other: Signature) -> bool:
        """Whether both are the same; an unclear `what` fits any."""
        return self.kind is other.kind and (not self.what or not other.what or self.what == other.what)


def read_signature(text: str) -> Signature:
    """The signature in `text`; raises UsageError that lists the kinds."""
    kind, _, what = text.partition(",")
    try:
        found = VerdictKind(kind.strip())
    except ValueError as error:
        kinds = ", ".join(kind.value for kind in _seekable())
        raise UsageError(f"signature {text!r}: write one of {kinds}, and after a comma what it is") from error
    if found not in _seekable():
        raise UsageError(f"signature {text!r}: {found.value} is nothing to look for")
    return Signature(found, what.strip())


def signature_of(verdict: Verdict, diagnosis: Diagnosis | None) -> Signature:
    """The signature of a trial; with a diagnosis of low confidence it fits other hangs too."""
    if verdict.kind is VerdictKind.CRASHED:
        return Signature(verdict.kind, _headline(verdict.summary))
    clear = diagnosis is not None and diagnosis.confidence is not Confidence.LOW
    if diagnosis is None or not clear or diagnosis.hang_class is HangClass.UNKNOWN:
        return Signature(verdict.kind)
    return Signature(verdict.kind, diagnosis.hang_class.value)


def judge(verdict: Verdict, diagnosis: Diagnosis | None, sought: Signature | None) -> tuple[str, str]:
    """GOOD, BAD or SKIP, and why; `sought` is None if not known before the first bad run."""
    if verdict.kind is VerdictKind.SURVIVED:
        return GOOD, str(verdict.kind)
    if verdict.kind in NOTHING_SAID:
        return SKIP, f"{verdict.kind}: {verdict.summary}"
    found = signature_of(verdict, diagnosis)
    if sought is None or sought.fits(found):
        return BAD, str(found)
    if verdict.kind is VerdictKind.STALLED and sought.kind in FOR_GOOD:
        return GOOD, str(found)
    return SKIP, str(found)


def _seekable() -> list[VerdictKind]:
    return [kind for kind in VerdictKind if kind not in NOTHING_SAID and kind is not VerdictKind.SURVIVED]


def _headline(summary: str) -> str:
    """A crash's first line without the host and without numbers, which differ from run to run."""
    text = summary.partition(": ")[2] or summary
    text = re.sub(r"\b(0x)?[0-9a-f]{8,}\b", "X", text)
    return re.sub(r"\d+", "N", text).replace(";", ",").strip()
