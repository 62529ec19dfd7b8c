"""A history, read once, and what the rules of the judge ask of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.model.finding import FindingKind
from harness.model.history import Event, Kind
from harness.model.opinion import Opinion, State
from harness.model.verdict import Stall
from harness.verdicts.policy import Policy
from harness.verdicts.steal_time import steal_share
from harness.verdicts.watch import LOAD, Watch

TEARDOWN = "teardown"
SCANNED = ("pgscan_kswapd", "pgscan_direct")
FREED = ("pgsteal_kswapd", "pgsteal_direct")


class Case:
    """A history, read once, and what the rules ask of it."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.policy = _policy_of(events)
        self.watch = Watch(self.policy)
        self.findings: list[Event] = []
        self.infra: list[Event] = []
        self._reclaim: list[Event] = []
        self._io_errors: list[Event] = []
        self._kept = {Kind.CONSOLE: self.findings, Kind.INFRA: self.infra, Kind.VMSTAT: self._reclaim}
        self._processors: list[Event] = []
        self.recovery: dict[str, bool] = {}
        self.limit: float | None = None
        self.locked: tuple[Opinion, float] | None = None
        self.waiting: int | None = None
        self.ended = False
        self.loaded = False
        over = False
        for event in events:
            # From the tear-down on the harness ends what still runs; only what a kernel says still counts.
            over = over or (event.kind is Kind.PHASE and event.data.get("name") == TEARDOWN)
            if not over:
                self._take(event)
            elif event.kind in (Kind.CONSOLE, Kind.INFRA):
                self._kept[event.kind].append(event)

    def _take(self, event: Event) -> None:
        opinion = self.watch.feed(event)
        self.loaded = self.loaded or self.watch.phase == LOAD
        if opinion.state in (State.SILENT, State.LOCKED):
            # The first that was sure keeps its time, what was learnt last its words.
            self.locked = (opinion, self.locked[1] if self.locked else event.t)
        elif opinion.state in (State.RUNNING, State.FINISHED):
            self.locked = None
        if "processors" in event.data and self.watch.phase == LOAD:
            self._processors.append(event)
        if event.kind in self._kept:
            self._kept[event.kind].append(event)
            if event.data.get("kind") == FindingKind.IO_ERROR and self.watch.phase == LOAD:
                self._io_errors.append(event)
        else:
            self._mark(event)

    def _mark(self, event: Event) -> None:
        """Take what the harness itself did."""
        if event.kind is Kind.RECOVERY:
            if event.data.get("done", True):
                self.recovery[str(event.data["step"])] = bool(event.data["recovered"])
        elif event.kind is Kind.EVIDENCE:
            if "waiting" in event.data:
                self.waiting = int(event.data["waiting"])
        elif event.kind is Kind.LIMIT:
            self.limit = float(event.data["seconds"])
        elif event.kind is Kind.PHASE and event.data.get("name") == LOAD:
            self.ended = event.data.get("state") == "end"

    @property
    def stalls(self) -> tuple[Stall, ...]:
        """Every stop that ended by itself."""
        return tuple(
            Stall(stop.onset_s, round(stop.ended_s - stop.onset_s, 4), True)
            for stop in self.watch.stops
            if stop.ended_s is not None
        )

    @property
    def steal(self) -> float:
        """Of the time that the guests' processors wanted under the load, the share that this machine steal."""
        return steal_share(self._processors)

    def reclaimed(self, begin_s: float) -> str:
        """What reclaim did from `begin_s` on, in words; nothing where it was idle or nobody counted."""
        seen = [event for event in self._reclaim if event.t >= begin_s]
        scanned, freed = (_growth(seen, names) for names in (SCANNED, FREED))
        return f"reclaim scanned {scanned} pages meanwhile and freed {freed}" if scanned else ""

    @property
    def first_io_error(self) -> Event | None:
        """The first request that the kernel gave up while the load ran."""
        return next(iter(self._io_errors), None)

    def first_finding(self, kinds: Iterable[str]) -> Event | None:
        """The first console finding of one of these kinds."""
        wanted = {str(kind) for kind in kinds}
        return next((event for event in self.findings if event.data.get("kind") in wanted), None)


def _growth(events: Sequence[Event], names: Iterable[str]) -> int:
    hosts = {event.host for event in events}
    total = 0
    for host in hosts:
        for name in names:
            values = [int(event.data[name]) for event in events if event.host == host and name in event.data]
            total += max(values, default=0) - min(values, default=0)
    return total


def _policy_of(events: Sequence[Event]) -> Policy:
    """The newest: the first is written before the guest's slowdown is known, by which the second is scaled."""
    policies = [event.data.get("policy", {}) for event in events if event.kind is Kind.TRIAL]
    return Policy.from_dict(policies[-1]) if policies else Policy()
