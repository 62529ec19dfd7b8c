"""Steal time of the guests' processors, from this machine's scheduler.

From inside, a guest whose processor does not run looks like one whose kernel does not schedule. The run delay of the
processor's thread (/proc/<pid>/schedstat) tells the two apart: how long it was ready to run and had to wait.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from harness.model.events import RungSample
from harness.model.history import Event, Rung, select
from harness.model.measure import Measure

NANO = 1e9
# A processor got no time in a sample if it waited for more than half of it and ran for less than 5 % of it.
WAITED, RAN = 0.5, 0.05
MOST = 0.95  # the largest share of a span that counts as steal time; a hang of hosts that all spin must still be found


@dataclass(frozen=True, slots=True)
class Sample:
    """Run time and run delay of one processor of a host between two samples, in seconds."""

    begin_s: float
    end_s: float
    ran_s: float
    waited_s: float

    @property
    def starved(self) -> bool:
        """Whether it was ready to run and got no time."""
        length = self.end_s - self.begin_s
        return self.waited_s > WAITED * length and self.ran_s < RAN * length


@dataclass(slots=True)
class Account:
    """The steal time of one processor: its run delay up to each sample, in seconds."""

    times: list[float] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)

    def until(self, t: float) -> float:
        """Its run delay up to `t`, interpolated linearly between samples."""
        after = bisect_right(self.times, t)
        if after in (0, len(self.times)):
            return self.waited[after - 1] if after else self.waited[0]
        begin, end = self.times[after - 1], self.times[after]
        share = (t - begin) / (end - begin) if end > begin else 1.0
        return self.waited[after - 1] + share * (self.waited[after] - self.waited[after - 1])


class StealTime:
    """The steal time of a site's processors in a span of time.

    A guest whose processors had to wait for 7 of 10 s does the work of 3 s; none of those 7 s is a stop of its kernel.
    An idle guest, as after a deadlock, has no steal time.
    """

    def __init__(self) -> None:
        self._accounts: dict[tuple[str, int], Account] = {}

    def feed(self, event: Event) -> None:
        """Take a sample of the rung vcpu; a sample without `processors` is ignored.

        Another thread may read meanwhile. It finds a sample by its time, and an account by its host.
        """
        sample = event.payload
        if not isinstance(sample, RungSample):
            return
        for number, (_, waited) in enumerate(sample.processors or ()):
            account = self._accounts.get((event.host, number), Account())
            account.waited.append(waited / NANO)
            account.times.append(event.t)
            self._accounts[event.host, number] = account

    def between(self, begin_s: float, end_s: float, host: str | None = None) -> float:
        """Steal time in this span, in seconds: of the worst processor of `host`, or summed over all hosts.

        Never more than the share MOST of the span. The sum is right for all hosts: a client that waits for an answer
        waits for its own processors and for the server's, one after the other. A client whose writes stood for 13.5 s
        had waited for 7.5 s by then, and its server for 7.0 s.
        """
        worst: dict[str, float] = {}
        for (name, _), account in list(self._accounts.items()):
            if host in (None, name):
                worst[name] = max(worst.get(name, 0.0), account.until(end_s) - account.until(begin_s))
        return min(sum(worst.values()), MOST * max(0.0, end_s - begin_s))


def samples(events: Iterable[Event]) -> dict[tuple[str, int], list[Sample]]:
    """By host and processor: its samples."""
    reported: dict[str, list[tuple[float, tuple[tuple[int, int], ...]]]] = {}
    for event, sample in select(events, RungSample):
        if sample.rung == Rung.VCPU and sample.processors:
            reported.setdefault(event.host, []).append((event.t, sample.processors))
    found: dict[tuple[str, int], list[Sample]] = {}
    for host, beats in reported.items():
        for (begin_s, old), (end_s, new) in pairwise(beats):
            for number, (before, after) in enumerate(zip(old, new, strict=False)):
                ran, waited = ((after[index] - before[index]) / NANO for index in (0, 1))
                found.setdefault((host, number), []).append(Sample(begin_s, end_s, ran, waited))
    return found


def steal_share(events: Iterable[Event]) -> float:
    """Steal time of the worst processor as a share of the time that it wanted to run; 0.0 without samples."""
    return _worst(samples(events))


def steal_measures(events: Sequence[Event]) -> Iterator[Measure]:
    """Two figures: the steal share of the worst processor, and the longest time that one got no time at all."""
    found = samples(events)
    if not found:
        return
    yield Measure(name="steal time", value=round(100 * _worst(found)), unit="%")
    longest = max(_longest(of) for of in found.values())
    yield Measure(name="longest without a processor", value=round(longest, 1), unit="s")


def _worst(found: Mapping[tuple[str, int], Sequence[Sample]]) -> float:
    return max((_share(of) for of in found.values()), default=0.0)


def _share(of: Sequence[Sample]) -> float:
    wanted = sum(sample.ran_s + sample.waited_s for sample in of)
    return sum(sample.waited_s for sample in of) / wanted if wanted else 0.0


def _longest(of: Sequence[Sample]) -> float:
    longest = length = 0.0
    for sample in of:
        length = length + sample.end_s - sample.begin_s if sample.starved else 0.0
        longest = max(longest, length)
    return longest
