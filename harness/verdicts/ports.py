"""What the RDMA ports under test did during the load, and during a stall, from the counters in the history."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from harness.fabric.counters import DATA_UNIT, ERRORS, PACKETS, READS, RECEIVED, RETRIES, SENT, WAIT, split
from harness.model.events import Counters
from harness.model.history import Event, select
from harness.model.measure import Measure

MIB = 1024 * 1024
# Less than this share of what the load moved before is that of keepalives, neighbours and the subnet manager.
IDLE_SHARE = 0.01


@dataclass(slots=True)
class _Readings:
    """Values of one counter, in the order of time."""

    times: list[float] = field(default_factory=list)
    values: list[int] = field(default_factory=list)

    def at(self, t: float) -> int:
        """The value at a time: the newest until then, or the first."""
        return self.values[max(0, bisect_right(self.times, t) - 1)]

    def growth(self, begin: float, end: float) -> int:
        """How much it grew; a counter that was cleared, or the module of which was loaded again, counts from 0."""
        before, after = self.at(begin), self.at(end)
        return after - before if after >= before else after


@dataclass(frozen=True, slots=True)
class Port:
    """A port under test of a host: `name` is such as mlx4_0/1."""

    host: str
    name: str
    counters: dict[str, _Readings]
    reads: _Readings

    def __str__(self) -> str:
        """In words."""
        return f"{self.host} {self.name}"

    def grew(self, counter: str, begin: float, end: float) -> int:
        """How much a counter grew, 0 if the device lacks it."""
        readings = self.counters.get(counter)
        return readings.growth(begin, end) if readings is not None else 0

    def traffic(self, begin: float, end: float) -> tuple[int, int, str]:
        """What was sent, what was received, and the unit: B, or packets for a device that counts no bytes."""
        if SENT in self.counters or RECEIVED in self.counters:
            sent, received = (self.grew(name, begin, end) * DATA_UNIT for name in (SENT, RECEIVED))
            return sent, received, "B"
        sent, received = (self.grew(name, begin, end) for name in PACKETS)
        return sent, received, "packets"


def ports_of(events: Iterable[Event]) -> list[Port]:
    """The ports whose counters the history has."""
    found: dict[tuple[str, str], dict[str, _Readings]] = defaultdict(lambda: defaultdict(_Readings))
    reads: dict[str, _Readings] = defaultdict(_Readings)
    for event, counters in select(events, Counters):
        for name, values in counters.files.items():
            readings = None
            if name == READS:
                readings = reads[event.host]
            elif (place := split(name)) is not None:
                readings = found[event.host, place[0]][place[1]]
            if readings is not None and values:
                readings.times.append(event.t)
                readings.values.append(values[0])
    return [Port(host, name, dict(counters), reads[host]) for (host, name), counters in sorted(found.items())]


def port_measures(events: Sequence[Event], begin: float, end: float) -> Iterator[Measure]:
    """What each port sent and received from `begin` to `end`, and its errors."""
    for port in ports_of(events):
        sent, received, unit = port.traffic(begin, end)
        for words, amount in (("sent", sent), ("received", received)):
            value, shown = (round(amount / MIB, 1), "MiB") if unit == "B" else (amount, unit)
            yield Measure(name=f"{port} {words}", value=value, unit=shown)
        for counter, words in {**ERRORS, WAIT: "ticks without credits"}.items():
            if counter in port.counters:
                yield Measure(name=f"{port} {words}", value=port.grew(counter, begin, end))
        if any(counter in port.counters for counter in RETRIES):
            yield Measure(name=f"{port} retries", value=_retries(port, begin, end))


def stall_words(events: Sequence[Event], load_s: float, onset_s: float, end_s: float) -> list[tuple[str, str]]:
    """(port, words) on each port from `onset_s` to `end_s`: whether it moved bytes, sent again, or was idle.

    `load_s` is when the load began: what counts as idle is measured by what it moved until the onset.
    """
    return [(str(port), _stall(port, load_s, onset_s, end_s)) for port in ports_of(events)]


def _stall(port: Port, load_s: float, onset_s: float, end_s: float) -> str:
    reads = port.reads
    if reads.values and not reads.growth(onset_s, end_s):
        return "its counters could not be read, so its driver or its firmware was stuck too"
    sent, received, unit = port.traffic(onset_s, end_s)
    before = sum(port.traffic(load_s, onset_s)[:2]) / max(onset_s - load_s, 1.0)
    is_idle = sent + received <= IDLE_SHARE * before * (end_s - onset_s)
    words = "was idle" if is_idle else "moved data"
    if retries := _retries(port, onset_s, end_s):
        words += f" and sent again ({retries} retries)"
    if not is_idle and min(sent, received) <= IDLE_SHARE * max(sent, received):
        words += ", in one direction only"
    return f"{words}: {sent} {unit} sent, {received} {unit} received"


def _retries(port: Port, begin: float, end: float) -> int:
    return sum(port.grew(counter, begin, end) for counter in RETRIES)
