"""Hosts of a rack against each other: which differs from the others, and in what. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from harness.model.sizes import format_size
from harness.model.topology import MIB
from harness.physical.survey import HostSurvey
from harness.qualify.checks import Check, Grade, StageName

SHOWN = 3  # hosts that have the usual value, named in a reason


def facts_of(found: HostSurvey, links: Mapping[str, str]) -> dict[str, str]:
    """What machines of one rack should have in common; `links` has the interfaces under test by link."""
    facts = {
        "kernel": found.kernel,
        "memory": format_size(round(found.memory / (64 * MIB)) * 64 * MIB),
        "processors": f"{found.cpus} × {found.processor}",
        "model": found.model,
    }
    cards = {card.name: card for card in found.interfaces}
    for link, name in links.items():
        if card := cards.get(name):
            facts[f"driver of {link}"] = card.driver
            facts[f"firmware of {link}"] = card.firmware
            facts[f"speed of {link}"] = card.speed
    for hca in found.rdma.hcas:
        facts[f"driver of {hca.name}"] = hca.driver
        facts[f"firmware of {hca.name}"] = hca.firmware
        for port in hca.ports:
            facts[f"rate of {hca.name}/{port.number}"] = port.rate
    return facts


def compare(facts: Mapping[str, Mapping[str, str]]) -> list[Check]:
    """One check for each fact in which a host is alone against a majority, or in which nobody knows who is odd."""
    checks = []
    for name in dict.fromkeys(key for one in facts.values() for key in one):
        values = {host: one.get(name, "") for host, one in facts.items()}
        counts = Counter(values.values())
        if len(counts) < 2:
            continue
        usual, many = counts.most_common(1)[0]
        is_majority = many > len(values) / 2
        for host, value in values.items():
            if is_majority and value != usual:
                checks.append(_odd(host, name, value, usual, [one for one in values if values[one] == usual]))
            elif not is_majority:
                checks.append(_unclear(host, name, value, counts))
    return checks


def _odd(host: str, name: str, value: str, usual: str, others: list[str]) -> Check:
    rest = f" and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
    return Check(
        stage=StageName.INSPECT,
        hosts=(host,),
        what=f"{name}, against the others",
        grade=Grade.FAIL,
        measured=value or "nothing",
        expected=usual or "nothing",
        reason=f"the odd host out: {', '.join(others[:SHOWN])}{rest} have {usual or 'nothing'}",
        remedy="make it like the others, or qualify it apart from them",
    )


def _unclear(host: str, name: str, value: str, counts: Counter[str]) -> Check:
    return Check(
        stage=StageName.INSPECT,
        hosts=(host,),
        what=f"{name}, against the others",
        grade=Grade.NOT_SHOWN,
        measured=value or "nothing",
        reason=f"the hosts differ, and none is in the majority: {', '.join(sorted(counts))}",
        remedy="say in `expect` of the inventory what is right",
    )
