"""Stage 4: cases under memory pressure on each pair of a ring, and each with its control."""

from __future__ import annotations

from collections.abc import Iterator

from harness.model.topology import Topology
from harness.qualify.cases import PRESSURE, Case
from harness.qualify.checks import Check, Grade, StageName
from harness.qualify.ground import Ground
from harness.qualify.pairs import ring_of
from harness.qualify.trials import Outcome, outcome_of

SECONDS = 60.0  # of load a trial; the known hangs come within 30 s


def press(ground: Ground, seconds: float = SECONDS) -> list[Check]:
    """A check of each case on each pair, or host for cases that need no link."""
    return [
        _check(case, hosts, link, *_both(ground, case, topology, label, seconds))
        for case, hosts, link, topology, label in _work(ground)
    ]


def _work(ground: Ground) -> Iterator[tuple[Case, tuple[str, ...], str, Topology, str]]:
    for case in PRESSURE:
        if not case.linked:
            for host in ground.hosts:
                yield case, (host.name,), "", ground.alone(host.name), host.name
            continue
        for link in ground.links:
            for client, server in ring_of(link.hosts):
                label = f"{client} to {server} over {link.name}"
                yield case, (client, server), link.name, ground.pair(link, client, server), label


def _both(ground: Ground, case: Case, topology: Topology, label: str, seconds: float) -> tuple[Outcome, Outcome | None]:
    """The case, and its control if the case did not survive."""
    found = outcome_of(ground, case.plan(f"{case.name}, {label}", topology, seconds))
    if found.is_good:
        return found, None
    return found, outcome_of(ground, case.control(f"{case.name}, {label}, control", topology, seconds))


def _check(case: Case, hosts: tuple[str, ...], link: str, found: Outcome, control: Outcome | None) -> Check:
    grade, reason, remedy = _judged(case, found, control)
    return Check(
        stage=StageName.PRESSURE,
        hosts=hosts,
        link=link,
        what=case.name,
        grade=grade,
        measured=found.words,
        expected="survives",
        reason=reason,
        remedy=remedy,
        trial=found.slug,
    )


def _judged(case: Case, found: Outcome, control: Outcome | None) -> tuple[Grade, str, str]:
    if found.is_good:
        return Grade.PASS, "", ""
    if not found.is_bad and not found.stalls:
        return Grade.NOT_SHOWN, found.words, ""
    stalls = f"; {found.stalls} stalls, the longest {found.longest_s:.1f} s" if found.stalls else ""
    if control is None or not control.is_good:
        without = "was not run" if control is None else f"did not survive either: {control.words}"
        return Grade.FAIL, f"{found.words}{stalls}; its control {without}", "the host itself, before its links"
    return Grade.FAIL, f"{case.blames}: {found.words}{stalls}; its control survived", "driver and hardware of the link"
