"""Stage 5: transfers and files for the hours that are left, with the stalls counted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import count

from harness.model.topology import Link
from harness.qualify.cases import SOAK, STALL_S
from harness.qualify.checks import Check, Grade, StageName
from harness.qualify.ground import Ground
from harness.qualify.pairs import ring_of
from harness.qualify.rates import rate_of
from harness.qualify.trials import Outcome, outcome_of

ROUND_S = 600.0
SHORTEST_S = 20.0
Key = tuple[str, str, str, str]  # link, client, server, load


def soak(ground: Ground) -> list[Check]:
    """One load after the other on each pair until their time is over; resumed with the time that is missing."""
    found: dict[Key, list[Outcome]] = defaultdict(list)
    for key, name, seconds in rounds(ground.links, ground.hours):
        link = next(link for link in ground.links if link.name == key[0])
        make = dict(SOAK)[key[3]]
        found[key].append(outcome_of(ground, make(name, ground.pair(link, key[1], key[2]), seconds)))
    return judge(found)


def rounds(links: Sequence[Link], hours: float) -> Iterator[tuple[Key, str, float]]:
    """Keys, names of trials and seconds of load: short rounds in turn, so that every load sees the whole time.

    Every load has its first round, however short the time is.
    """
    keys = [
        (link.name, client, server, load)
        for link in links
        for client, server in ring_of(link.hosts)
        for load, _ in SOAK
    ]
    left = hours * 3600
    for number in count(1) if keys else ():
        for link, client, server, load in keys:
            seconds = max(min(ROUND_S, left, hours * 3600 / len(keys)), SHORTEST_S)
            yield (link, client, server, load), f"soak, {load}, {client} to {server} over {link}, {number}", seconds
            left -= seconds
            if number > 1 and left < SHORTEST_S:
                return
        if left < SHORTEST_S:
            return


def judge(found: Mapping[Key, Sequence[Outcome]]) -> list[Check]:
    """A check of each load on each pair."""
    return [_check(key, outcomes) for key, outcomes in found.items()]


def _check(key: Key, outcomes: Sequence[Outcome]) -> Check:
    link, client, server, load = key
    told = [one for one in outcomes if one.verdict is not None]
    hours, stalls = sum(one.hours for one in told), sum(one.stalls for one in told)
    bad = next((one for one in told if one.is_bad), None)
    longest = max((one.longest_s for one in told), default=0.0)
    reason = bad.words if bad is not None else f"{stalls} stalls, the longest {longest:.1f} s" if stalls else ""
    problem = next((one.problem for one in outcomes if one.verdict is None), "")
    failed = bad is not None or stalls > 0
    counted = load != "NFS"  # the socket watch is on transfers
    seen = f"{stalls} stalls" if counted else "one load" if len(told) == 1 else f"{len(told)} loads"
    return Check(
        stage=StageName.SOAK,
        hosts=(client, server),
        link=link,
        what=f"{load} soak",
        grade=Grade.FAIL if failed else Grade.PASS if hours and not problem else Grade.NOT_SHOWN,
        measured=f"{seen} in {hours:.2f} h",
        expected=f"no stall of {STALL_S:g} s or more" if counted else "every load to its end",
        value=float(stalls) if counted else None,
        unit="stalls" if counted else "",
        reason=reason or problem,
        remedy="driver and hardware of the link" if failed else "",
        excluded=str(rate_of(stalls, hours)) if hours > 0 and (counted or not failed) else "",
        trial=(bad or (told[-1] if told else Outcome())).slug,
    )
