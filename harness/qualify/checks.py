"""Checks of a qualification, and the grades that follow from them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Grade(StrEnum):
    """`NOT_SHOWN`: nothing speaks against it, and not enough was measured to say that it is well."""

    PASS = "PASS"
    FAIL = "FAIL"
    NOT_SHOWN = "NOT SHOWN"


class StageName(StrEnum):
    """The stages in their order."""

    INSPECT = "inspect"
    FABRIC = "fabric"
    LINKS = "links"
    PRESSURE = "pressure"
    SOAK = "soak"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at, on a host or from one host to another.

    `hosts` has the host, or sender and receiver; `link` the name of the link between them. `measured` and `expected`
    are values with units for people, `value` is the figure in `unit`, None if there is none. `reason` is one line,
    `remedy` what to do first. `trial` is the folder of its trial in the run. `excluded` says which rates the check
    rules out.
    """

    stage: StageName
    hosts: tuple[str, ...]
    what: str
    grade: Grade
    link: str = ""
    measured: str = ""
    expected: str = ""
    value: float | None = None
    unit: str = ""
    reason: str = ""
    remedy: str = ""
    excluded: str = ""
    trial: str = ""

    @property
    def subject(self) -> str:
        """The host, or the link with its direction."""
        arrow = " → ".join(self.hosts)
        return f"{arrow} ({self.link})" if self.link else arrow

    def to_dict(self) -> dict[str, Any]:
        """The check as plain JSON values."""
        return {key: value.value if isinstance(value, StrEnum) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Check:
        """The check that `to_dict` wrote; raises KeyError, TypeError or ValueError on anything else."""
        given = {**record, "hosts": tuple(record["hosts"])}
        given |= {"stage": StageName(record["stage"]), "grade": Grade(record["grade"])}
        return cls(**given)


def together(grades: Iterable[Grade]) -> Grade:
    """FAIL if one is, NOT SHOWN if one is or there is none, else PASS."""
    found = set(grades)
    if Grade.FAIL in found:
        return Grade.FAIL
    return Grade.PASS if found == {Grade.PASS} else Grade.NOT_SHOWN


def by_subject(checks: Sequence[Check], hosts: Sequence[str]) -> dict[str, list[Check]]:
    """The checks of each host, even without any, and of each link with its direction, in the order of their stages."""
    found: dict[str, list[Check]] = {host: [] for host in hosts}
    order = list(StageName)
    for check in sorted(checks, key=lambda check: order.index(check.stage)):
        found.setdefault(check.subject, []).append(check)
    return found


def failed_hosts(checks: Iterable[Check], stage: StageName) -> set[str]:
    """Hosts that failed a stage by themselves; a bad link fails none of its ends."""
    return {
        check.hosts[0]
        for check in checks
        if check.stage is stage and check.grade is Grade.FAIL and len(check.hosts) == 1
    }


def blame(checks: Iterable[Check], hosts: Sequence[str]) -> list[tuple[str, int]]:
    """Hosts by the number of failed checks that they take part in, most first: what to exchange first."""
    counts = dict.fromkeys(hosts, 0)
    for check in checks:
        if check.grade is Grade.FAIL:
            for host in check.hosts:
                counts[host] = counts.get(host, 0) + 1
    return sorted(((host, count) for host, count in counts.items() if count), key=lambda pair: (-pair[1], pair[0]))
