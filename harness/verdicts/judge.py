"""History → verdict. A pure function of the recorded events; docs/verdicts.md says why each rule is as it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.model.finding import CRASHES
from harness.model.history import Event, Kind
from harness.model.opinion import State
from harness.model.verdict import Stall, Verdict, VerdictKind
from harness.verdicts.pace import Pace
from harness.verdicts.policy import Policy
from harness.verdicts.watch import LOAD, Stop, Watch


class _Case:
    """A history, read once, and what the rules ask of it."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.policy = _policy_of(events)
        self.watch = Watch(self.policy)
        self.pace = Pace(self.policy)
        self.findings: list[Event] = []
        self.infra: list[Event] = []
        self.recovery: dict[str, bool] = {}
        self.limit: float | None = None
        self.silent: tuple[float, float, str] | None = None
        self.ended = False
        self.loaded = False
        for event in events:
            self._take(event)

    def _take(self, event: Event) -> None:
        opinion = self.watch.feed(event)
        self.loaded = self.loaded or self.watch.phase == LOAD
        if self.watch.phase == LOAD or event.kind is Kind.BASELINE:
            self.pace.feed(event)
        if opinion.state is State.SILENT and self.silent is None:
            self.silent = (opinion.since_s, event.t, opinion.why)
        elif opinion.state in (State.RUNNING, State.FINISHED):
            self.silent = None
        if event.kind is Kind.CONSOLE:
            self.findings.append(event)
        elif event.kind is Kind.INFRA:
            self.infra.append(event)
        elif event.kind is Kind.RECOVERY:
            if event.data.get("done", True):
                self.recovery[str(event.data["step"])] = bool(event.data["recovered"])
        elif event.kind is Kind.LIMIT:
            self.limit = float(event.data["seconds"])
        elif event.kind is Kind.PHASE and event.data.get("name") == LOAD:
            self.ended = event.data.get("state") == "end"

    @property
    def stalls(self) -> tuple[Stall, ...]:
        """Every stop that ended by itself."""
        return tuple(
            Stall(stop.onset_s, stop.ended_s - stop.onset_s, True)
            for stop in self.watch.stops
            if stop.ended_s is not None
        )

    def first_finding(self, kinds: Iterable[str]) -> Event | None:
        """The first console finding of one of these kinds."""
        wanted = {str(kind) for kind in kinds}
        return next((event for event in self.findings if event.data.get("kind") in wanted), None)


def _policy_of(events: Sequence[Event]) -> Policy:
    """The newest: the first is written before the guest's slowdown is known, by which the second is scaled."""
    policies = [event.data.get("policy", {}) for event in events if event.kind is Kind.TRIAL]
    return Policy.from_dict(policies[-1]) if policies else Policy()


def judge(events: Sequence[Event]) -> Verdict:
    """The verdict of a trial's history, complete or cut short. Kernel evidence outranks silence."""
    case = _Case(events)
    rules = (_crashed, _oom_killed, _infra, _locked_up, _gone, _stopped, _finished)
    for rule in rules:
        verdict = rule(case)
        if verdict is not None:
            return verdict
    return _inconclusive(case, "the history ends before the workload did")


def _crashed(case: _Case) -> Verdict | None:
    finding = case.first_finding(CRASHES)
    if finding is None:
        return None
    title = str(finding.data.get("title", "crash"))
    return Verdict(
        kind=VerdictKind.CRASHED,
        summary=f"{finding.host}: {title}",
        onset_s=finding.t,
        certain_s=finding.t,
        stalls=case.stalls,
        reasons=(f"the console of {finding.host} shows: {title}",),
    )


def _oom_killed(case: _Case) -> Verdict | None:
    stop = case.watch.open_stop
    for finding in case.findings:
        if finding.data.get("kind") != "oom_kill" or finding.data.get("task") not in case.policy.mortal:
            continue
        if stop is not None and finding.t > stop.certain_s:
            return None  # the stop came first; what died of it later is not its cause
        title = str(finding.data.get("title", ""))
        return Verdict(
            kind=VerdictKind.OOM_KILLED,
            summary=f"{finding.host}: the OOM killer ended {finding.data.get('task')}",
            onset_s=finding.t,
            certain_s=finding.t,
            stalls=case.stalls,
            reasons=(f"the console of {finding.host} shows: {title}", "the trial depends on that task"),
        )
    return None


def _infra(case: _Case) -> Verdict | None:
    if not case.infra:
        return None
    return _inconclusive(case, str(case.infra[0].data.get("error", "the harness failed")))


def _locked_up(case: _Case) -> Verdict | None:
    if case.silent is None or case.watch.opinion.state is not State.SILENT:
        return None
    onset, certain, why = case.silent
    return Verdict(
        kind=VerdictKind.LOCKED_UP,
        summary=f"{why} while its processors run",
        onset_s=onset,
        certain_s=certain,
        blocked=case.watch.blocked(certain, 1.0),
        stalls=case.stalls,
        reasons=(
            "the heartbeat of a locked real-time task went silent",
            "the hypervisor says that the guest runs",
        ),
    )


def _gone(case: _Case) -> Verdict | None:
    opinion = case.watch.opinion
    if opinion.state is State.GONE:
        return Verdict(
            kind=VerdictKind.LOST,
            summary=f"{opinion.why}, and its console shows no reason",
            onset_s=opinion.since_s,
            certain_s=opinion.since_s,
            stalls=case.stalls,
            reasons=("the hypervisor has no running guest any more", "no crash, panic or OOM kill on the console"),
        )
    if opinion.state is State.PAUSED:
        return _inconclusive(case, f"{opinion.why}: that says nothing about its kernel")
    return None


def _stopped(case: _Case) -> Verdict | None:
    stop = case.watch.open_stop
    if stop is None:
        return None
    if "hold" not in case.recovery:
        return _inconclusive(
            case, f"progress stopped at {stop.onset_s:.1f} s, but there was no recovery probe that could have told why"
        )
    if case.recovery["hold"]:
        return _hung(
            case,
            stop,
            VerdictKind.LIVELOCKED,
            "progress stopped, and storage came back once the workload was held",
            "holding the workload, without freeing anything it has, brought the storage back: no circular wait",
        )
    freed = case.recovery.get("release", False)
    how = "killing the workload frees it" if freed else "not even killing the workload frees it"
    return _hung(
        case,
        stop,
        VerdictKind.DEADLOCKED,
        f"no progress since {stop.onset_s:.1f} s, and it does not come back by itself; {how}",
        f"holding the workload did not help; {how}",
    )


def _hung(case: _Case, stop: Stop, kind: VerdictKind, summary: str, last_reason: str) -> Verdict:
    patience = case.policy.patience_s
    return Verdict(
        kind=kind,
        summary=summary,
        onset_s=stop.onset_s,
        certain_s=stop.certain_s,
        blocked=stop.blocked,
        alive=stop.alive,
        stalls=case.stalls,
        reasons=(
            f"the last progress was at {stop.onset_s:.1f} s",
            f"at {stop.certain_s:.1f} s it was certain; blocked: {', '.join(stop.blocked) or 'nothing'}",
            f"it did not come back within {patience:.0f} s",
            last_reason,
        ),
    )


def _finished(case: _Case) -> Verdict | None:
    if not case.loaded or not case.ended:
        return None
    working = [host for host in case.watch.hosts.values() if host.workers]
    if not working:
        return _inconclusive(case, "no workload ever reported progress")
    gone = sum(host.workers - host.finished - host.failed for host in working if host.ops and host.alive == 0)
    if gone:
        return _inconclusive(case, f"{gone} workers died without a word; see the consoles")
    failed = sum(host.failed for host in working)
    if failed:
        return _inconclusive(case, f"{failed} workers failed; see the workload's log among the evidence")
    crawl = case.pace.crawl
    if crawl is not None:
        return Verdict(
            kind=VerdictKind.LIVELOCKED,
            summary=f"progress at {crawl.share:.2%} of the baseline for {crawl.seconds:.0f} s",
            onset_s=crawl.begin_s,
            certain_s=crawl.certain_s,
            stalls=case.stalls,
            reasons=(f"the baseline is {crawl.baseline:.0f} operations a second",),
        )
    return _ended_well(case, all(host.finished >= host.workers for host in working))


def _ended_well(case: _Case, complete: bool) -> Verdict:
    if case.stalls:
        longest = max(stall.duration_s for stall in case.stalls)
        return Verdict(
            kind=VerdictKind.STALLED,
            summary=f"{len(case.stalls)} stall(s), the longest {longest:.1f} s; each ended by itself",
            onset_s=case.stalls[0].onset_s,
            stalls=case.stalls,
            reasons=("progress stopped and came back without the harness's doing",),
        )
    if complete:
        return Verdict(kind=VerdictKind.SURVIVED, summary="every worker completed its passes")
    if case.policy.endless and case.limit is not None:
        return Verdict(kind=VerdictKind.SURVIVED, summary="the workload ran its time without a stop")
    limit = f" of {case.limit:.0f} s" if case.limit is not None else ""
    return _inconclusive(case, f"the workload still made progress when its time{limit} was over; give it more")


def _inconclusive(case: _Case, why: str) -> Verdict:
    return Verdict(kind=VerdictKind.INCONCLUSIVE, summary=why, stalls=case.stalls)
