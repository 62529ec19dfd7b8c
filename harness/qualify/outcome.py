"""What a qualification comes to: a grade for each host and link, what to do first, and a comparison of two. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.qualify.checks import Check, Grade, StageName, blame, by_subject, together

MATTERS = 0.1  # a figure that changed by less is the same


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A host, or a link in one direction, with its checks."""

    name: str
    grade: Grade
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The grade of the whole, of each subject, and what to exchange first: hosts with their failed checks."""

    grade: Grade
    subjects: tuple[Subject, ...]
    first: tuple[tuple[str, int], ...]
    missing: tuple[StageName, ...]

    def to_dict(self) -> dict[str, Any]:
        """The decision as plain JSON values."""
        return {
            "grade": self.grade.value,
            "subjects": [
                {"name": one.name, "grade": one.grade.value, "checks": [check.to_dict() for check in one.checks]}
                for one in self.subjects
            ],
            "first": [{"host": host, "failed": count} for host, count in self.first],
            "missing": [name.value for name in self.missing],
        }


def decide(
    checks: Sequence[Check], hosts: Sequence[str], asked: Sequence[StageName], ended: Sequence[StageName]
) -> Decision:
    """The decision; a stage that was asked for and has not ended keeps what passed so far from being PASS."""
    missing = tuple(name for name in asked if name not in ended)
    subjects = tuple(
        Subject(name=name, grade=_graded(found, missing), checks=tuple(found))
        for name, found in by_subject(checks, hosts).items()
    )
    return Decision(
        grade=together(one.grade for one in subjects),
        subjects=subjects,
        first=tuple(blame(checks, hosts)),
        missing=missing,
    )


def _graded(checks: Sequence[Check], missing: Sequence[StageName]) -> Grade:
    grade = together(check.grade for check in checks)
    return Grade.NOT_SHOWN if grade is Grade.PASS and missing else grade


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One check in two qualifications; one of the two is None if only the other has it."""

    before: Check | None
    after: Check | None

    @property
    def name(self) -> tuple[str, str]:
        """Subject and what was checked."""
        check = self.after or self.before
        assert check is not None, "of one of the two"
        return check.subject, check.what

    @property
    def sides(self) -> tuple[str, str]:
        """Before and after in words."""
        return _words(self.before), _words(self.after)

    @property
    def is_worse(self) -> bool:
        """Whether it fails now, and did not before."""
        failed = [it is not None and it.grade is Grade.FAIL for it in (self.before, self.after)]
        return failed == [False, True]

    def to_dict(self) -> dict[str, Any]:
        """The change as plain JSON values."""
        return {"before": self.before and self.before.to_dict(), "after": self.after and self.after.to_dict()}

    @property
    def matters(self) -> bool:
        """Whether the grade changed, or a figure by a tenth or more."""
        if self.before is None or self.after is None or self.before.grade is not self.after.grade:
            return True
        old, new = self.before.value, self.after.value
        if old is None or new is None:
            return False
        return abs(new - old) > MATTERS * max(abs(old), abs(new))


def _words(check: Check | None) -> str:
    return f"{check.grade}, {check.measured or check.reason}" if check is not None else "not checked"


def changes(before: Sequence[Check], after: Sequence[Check]) -> list[Change]:
    """What changed from one qualification to the other, in the order of the second."""
    old, new = ({(check.stage, check.subject, check.what): check for check in checks} for checks in (before, after))
    every = [Change(before=old.get(key), after=new.get(key)) for key in dict.fromkeys((*new, *old))]
    return [change for change in every if change.matters]
