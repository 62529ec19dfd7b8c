"""Bandwidth and latency of links: which are slow, against what was expected and against the rest. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from harness.qualify.checks import Check, Grade, StageName

ENOUGH = 5  # directions of a link, from which their median says what is usual
OF_MEDIAN = 0.7
OF_OTHER = 0.5  # of the other direction, where there are too few for a median
OF_EXPECTED = 0.9
LATE, LATE_MS = 3.0, 0.5  # so many times the median, and so much more: small latencies scatter
RTT = re.compile(r"min/avg/max/mdev = [\d.]+/(?P<average>[\d.]+)/[\d.]+/[\d.]+ ms")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Measured from `sender` to `receiver` on `link`: TCP payload in Mbit/s, and the round trip in ms."""

    sender: str
    receiver: str
    link: str
    mbit_s: float
    rtt_ms: float


def bandwidth_of(text: str) -> float:
    """Mbit/s received, from iperf3's JSON; raises ValueError with its own error."""
    try:
        report = json.loads(text)
        if "error" in report:
            raise ValueError(str(report["error"]))
        return float(report["end"]["sum_received"]["bits_per_second"]) / 1e6
    except (json.JSONDecodeError, KeyError, TypeError):
        raise ValueError(f"iperf3 said {text.strip()[:80]!r}") from None


def rtt_of(text: str) -> float:
    """The average round trip in ms, from what ping prints; raises ValueError."""
    found = RTT.search(text)
    if found is None:
        raise ValueError("no answer to any ping")
    return float(found["average"])


def usual(figures: Sequence[Figures], of: Figures) -> tuple[float, str]:
    """The bandwidth to compare one direction with, as the least that passes, and where it is from."""
    same = [one for one in figures if one.link == of.link]
    if len(same) >= ENOUGH:
        middle = median(one.mbit_s for one in same)
        return OF_MEDIAN * middle, f"{OF_MEDIAN:.0%} of the median of the rack, {middle:.0f} Mbit/s"
    back = [one.mbit_s for one in same if (one.sender, one.receiver) == (of.receiver, of.sender)]
    if not back:
        return 0.0, "nothing to compare it with"
    return OF_OTHER * back[0], f"{OF_OTHER:.0%} of the other direction, {back[0]:.0f} Mbit/s"


def is_slow(figures: Sequence[Figures], of: Figures, expected: Mapping[str, float]) -> bool:
    """Whether a direction is slower than expected or usual; `expected` has Mbit/s by host."""
    return of.mbit_s < _least(figures, of, expected)[0]


def _least(figures: Sequence[Figures], of: Figures, expected: Mapping[str, float]) -> tuple[float, str]:
    wanted = min((expected[host] for host in (of.sender, of.receiver) if host in expected), default=None)
    if wanted is not None:
        return OF_EXPECTED * wanted, f"{OF_EXPECTED:.0%} of the {wanted:.0f} Mbit/s in the inventory"
    return usual(figures, of)


def judge(figures: Sequence[Figures], expected: Mapping[str, float]) -> list[Check]:
    """A check of the bandwidth and one of the latency for each direction."""
    return [check for one in figures for check in (_bandwidth(figures, one, expected), _latency(figures, one))]


def _bandwidth(figures: Sequence[Figures], one: Figures, expected: Mapping[str, float]) -> Check:
    least, source = _least(figures, one, expected)
    slow = one.mbit_s < least
    return Check(
        stage=StageName.LINKS,
        hosts=(one.sender, one.receiver),
        link=one.link,
        what="bandwidth",
        grade=Grade.FAIL if slow else Grade.PASS if least else Grade.NOT_SHOWN,
        measured=f"{one.mbit_s:.0f} Mbit/s",
        expected=f"≥ {least:.0f} Mbit/s: {source}",
        value=round(one.mbit_s, 3),
        unit="Mbit/s",
        reason=f"slow from {one.sender} to {one.receiver}" if slow else "",
        remedy=f"what sends on {one.sender}, then the cable and port, then what receives on {one.receiver}"
        if slow
        else "",
    )


def _latency(figures: Sequence[Figures], one: Figures) -> Check:
    same = [other.rtt_ms for other in figures if other.link == one.link]
    middle = median(same)
    most = max(LATE * middle, middle + LATE_MS)
    late = len(same) > 2 and one.rtt_ms > most
    return Check(
        stage=StageName.LINKS,
        hosts=(one.sender, one.receiver),
        link=one.link,
        what="latency",
        grade=Grade.FAIL if late else Grade.PASS,
        measured=f"{one.rtt_ms:.2f} ms there and back",
        expected=f"≤ {most:.2f} ms: {LATE:g} × the median" if len(same) > 2 else "",
        value=round(one.rtt_ms, 4),
        unit="ms",
        reason="a long way there or back" if late else "",
    )
