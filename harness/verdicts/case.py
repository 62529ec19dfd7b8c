"""The facts of one history that the judge's rules read."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

from harness.model.events import (
    Counters,
    EvidencePiece,
    InfraFailure,
    LoadLimit,
    Payload,
    Phase,
    RecoveryStep,
    RungSample,
    TrialFacts,
)
from harness.model.finding import Finding, FindingKind
from harness.model.history import Event, Kind, select
from harness.model.opinion import Opinion, State
from harness.model.verdict import Stall
from harness.verdicts.policy import Policy
from harness.verdicts.steal_time import steal_share
from harness.verdicts.watch import LOAD, Watch

TEARDOWN = "teardown"
SCANNED = ("pgscan_kswapd", "pgscan_direct")
FREED = ("pgsteal_kswapd", "pgsteal_direct")


class Case:
    """A history, read once, with the queries of the judge's rules."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.policy = _policy_of(events)
        self.watch = Watch(self.policy)
        self.findings: list[tuple[Event, Finding]] = []
        self.infra: list[InfraFailure] = []
        self._reclaim: list[tuple[Event, Counters]] = []
        self._io_errors: list[tuple[Event, Finding]] = []
        self._processors: list[Event] = []
        self.recovery: dict[str, bool] = {}
        self.limit: float | None = None
        self.locked: tuple[Opinion, float] | None = None
        self.waiting: int | None = None
        self.ended = False
        self.loaded = False
        over = False
        for event in events:
            # During tear-down the harness ends whatever still runs. From then on only console findings and
            # infrastructure failures count.
            over = over or _is_phase(event, TEARDOWN)
            if not over:
                self._take(event)
            if event.kind in (Kind.CONSOLE, Kind.INFRA):
                self._keep(event)

    def _take(self, event: Event) -> None:
        opinion = self.watch.feed(event)
        self.loaded = self.loaded or self.watch.phase == LOAD
        if opinion.state in (State.SILENT, State.LOCKED):
            # The time is that of the first certain opinion, the text that of the newest.
            self.locked = (opinion, self.locked[1] if self.locked else event.t)
        elif opinion.state in (State.RUNNING, State.FINISHED):
            self.locked = None
        loading = self.watch.phase == LOAD
        match event.payload:
            case RungSample() as sample:
                if sample.processors and loading:
                    self._processors.append(event)
            case Counters() as counters:
                self._reclaim.append((event, counters))
            case Finding(kind=FindingKind.IO_ERROR) as finding if loading:
                self._io_errors.append((event, finding))
            case payload:
                self._mark(payload)

    def _keep(self, event: Event) -> None:
        """Keep events that count in every phase."""
        match event.payload:
            case Finding() as finding:
                self.findings.append((event, finding))
            case InfraFailure() as failure:
                self.infra.append(failure)

    def _mark(self, payload: Payload) -> None:
        """Record the harness's own actions."""
        match payload:
            case RecoveryStep(done=True) as step:
                self.recovery[step.step] = step.recovered
            case EvidencePiece(waiting=int(waiting)):
                self.waiting = waiting
            case LoadLimit() as limit:
                self.limit = limit.seconds
            case Phase(name="load") as phase:
                self.ended = phase.ends

    @property
    def stalls(self) -> tuple[Stall, ...]:
        """All stops that ended by themselves."""
        return tuple(
            Stall(stop.onset_s, round(stop.ended_s - stop.onset_s, 4), True)
            for stop in self.watch.stops
            if stop.ended_s is not None
        )

    @property
    def steal(self) -> float:
        """Steal time as a share of the time that the guests' processors wanted to run under the load."""
        return steal_share(self._processors)

    def reclaimed(self, begin_s: float) -> str:
        """A phrase about reclaim's work since `begin_s`; empty if reclaim was idle or there are no counters."""
        seen = [(event.host, counters) for event, counters in self._reclaim if event.t >= begin_s]
        scanned, freed = (_growth(seen, names) for names in (SCANNED, FREED))
        return f"reclaim scanned {scanned} pages meanwhile and freed {freed}" if scanned else ""

    @property
    def first_io_error(self) -> tuple[Event, Finding] | None:
        """The first request that the kernel failed during the load."""
        return next(iter(self._io_errors), None)

    def first_finding(self, kinds: Container[str]) -> tuple[Event, Finding] | None:
        """The first console finding of one of these kinds."""
        return next(((event, finding) for event, finding in self.findings if finding.kind in kinds), None)


def _is_phase(event: Event, name: str) -> bool:
    return event.kind is Kind.PHASE and isinstance(phase := event.payload, Phase) and phase.name == name


def _growth(seen: Sequence[tuple[str, Counters]], names: Iterable[str]) -> int:
    total = 0
    for host in {host for host, _ in seen}:
        for name in names:
            values = [value for own, counters in seen if own == host and (value := counters.value(name)) is not None]
            total += max(values, default=0) - min(values, default=0)
    return total


def _policy_of(events: Sequence[Event]) -> Policy:
    """The newest policy. The first is written before the guest's slowdown is known; the second is scaled by it."""
    policies = [facts.policy for _, facts in select(events, TrialFacts)]
    return Policy.from_dict(policies[-1]) if policies else Policy()
