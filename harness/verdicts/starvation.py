"""What the guests' processors wanted of this machine and did not get, by the scheduler's own account.

A guest whose processor is not run looks from inside like one whose kernel does not schedule. The two are told apart by
the run delay of the processor's thread (/proc/<pid>/schedstat): how long it was ready to run and had to wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from harness.model.history import Event, Kind, Rung
from harness.model.measure import Measure

NANO = 1e9
# A processor got nothing in a sample's time if it waited for most of it and ran for next to none of it.
WAITED, RAN = 0.5, 0.05


@dataclass(frozen=True, slots=True)
class Sample:
    """What one processor of a host got between two samples, in seconds."""

    begin_s: float
    end_s: float
    ran_s: float
    waited_s: float

    @property
    def starved(self) -> bool:
        """Whether it wanted to run and did not."""
        length = self.end_s - self.begin_s
        return self.waited_s > WAITED * length and self.ran_s < RAN * length


def samples(events: Iterable[Event]) -> dict[tuple[str, int], list[Sample]]:
    """By host and processor, what it got from one sample to the next."""
    told: dict[str, list[Event]] = {}
    for event in events:
        if event.kind is Kind.RUNG and event.data.get("rung") == Rung.VCPU and event.data.get("processors"):
            told.setdefault(event.host, []).append(event)
    found: dict[tuple[str, int], list[Sample]] = {}
    for host, beats in told.items():
        for old, new in pairwise(beats):
            pairs = zip(old.data["processors"], new.data["processors"], strict=False)
            for number, (before, after) in enumerate(pairs):
                ran, waited = ((after[index] - before[index]) / NANO for index in (0, 1))
                found.setdefault((host, number), []).append(Sample(old.t, new.t, ran, waited))
    return found


def starvation(events: Sequence[Event]) -> Iterator[Measure]:
    """Two figures of the events: what share of its time the worst processor waited, and the longest it got nothing."""
    found = samples(events)
    shares = [_share(of) for of in found.values()]
    if not shares:
        return
    yield Measure(name="processor time withheld", value=round(100 * max(shares)), unit="%")
    longest = max(_longest(of) for of in found.values())
    yield Measure(name="longest without a processor", value=round(longest, 1), unit="s")


def _share(of: Sequence[Sample]) -> float:
    wanted = sum(sample.ran_s + sample.waited_s for sample in of)
    return sum(sample.waited_s for sample in of) / wanted if wanted else 0.0


def _longest(of: Sequence[Sample]) -> float:
    longest = length = 0.0
    for sample in of:
        length = length + sample.end_s - sample.begin_s if sample.starved else 0.0
        longest = max(longest, length)
    return longest
