"""History → verdict. A pure function of the recorded events; docs/verdicts/ explains each rule."""

from __future__ import annotations

from collections.abc import Sequence

from harness.model.finding import CRASHES, Finding, FindingKind
from harness.model.history import Event
from harness.model.opinion import State
from harness.model.verdict import Stall, Verdict, VerdictKind
from harness.verdicts.case import Case
from harness.verdicts.hosts import BLOCKED_S
from harness.verdicts.pace import Crawl
from harness.verdicts.watch import Stop

# Steal time of 50 to 70 % still gave right verdicts (two guests on two busy processors).
STARVED = 0.9
TIMED = (VerdictKind.STALLED, VerdictKind.LIVELOCKED, VerdictKind.LOCKED_UP)


def judge(events: Sequence[Event]) -> Verdict:
    """The verdict on a trial's history, complete or cut short. Kernel evidence outranks silence."""
    case = Case(events)
    rules = (_crashed, _oom_killed, _infra, _locked_up, _gone, _stopped, _finished)
    for rule in rules:
        verdict = rule(case)
        if verdict is not None:
            return _granted(case, verdict)
    return _inconclusive(case, "the history ends before the workload did")


def _granted(case: Case, verdict: Verdict) -> Verdict:
    """Downgrade a verdict that rests on time alone if steal time was too high to judge the kernel."""
    if verdict.kind not in TIMED or (steal := case.steal) < STARVED:
        return verdict
    share = f"steal time was {steal:.0%} of the time that the guests' processors wanted"
    return _inconclusive(case, f"{share}, so that {verdict.kind.value} says nothing: {verdict.summary}")


def _crashed(case: Case) -> Verdict | None:
    found = case.first_finding(CRASHES)
    if found is None:
        return None
    event, title = found[0], found[1].title or "crash"
    return Verdict(
        kind=VerdictKind.CRASHED,
        summary=f"{event.host}: {title}",
        onset_s=event.t,
        certain_s=event.t,
        stalls=case.stalls,
        reasons=(f"the console of {event.host} shows: {title}",),
    )


def _oom_killed(case: Case) -> Verdict | None:
    stop = case.watch.open_stop
    for event, finding in case.findings:
        if finding.kind != FindingKind.OOM_KILL or finding.task not in case.policy.critical_tasks:
            continue
        if stop is not None and event.t > stop.certain_s and case.watch.opinion.state is not State.FINISHED:
            return None  # the stop came first; a task that died later is not its cause
        return Verdict(
            kind=VerdictKind.OOM_KILLED,
            summary=f"{event.host}: the OOM killer ended {finding.task}",
            onset_s=event.t,
            certain_s=event.t,
            stalls=case.stalls,
            reasons=(f"the console of {event.host} shows: {finding.title}", "the trial depends on that task"),
        )
    return None


def _infra(case: Case) -> Verdict | None:
    if not case.infra:
        return None
    return _inconclusive(case, case.infra[0].error or "the harness failed")


def _locked_up(case: Case) -> Verdict | None:
    if case.locked is None or case.watch.opinion.state not in (State.SILENT, State.LOCKED):
        return None
    opinion, certain = case.locked
    reasons = (opinion.why, f"{_power_source(case, opinion.host)} says that the guest runs")
    if opinion.state is State.SILENT:
        reasons = ("the heartbeat of a locked real-time task went silent", *reasons[1:])
    return Verdict(
        kind=VerdictKind.LOCKED_UP,
        summary=f"{opinion.why} while its processors run" if opinion.state is State.SILENT else opinion.why,
        onset_s=min(opinion.since_s, certain),
        certain_s=certain,
        blocked=case.watch.blocked(certain, BLOCKED_S),
        stalls=case.stalls,
        reasons=reasons,
    )


def _power_source(case: Case, host: str) -> str:
    """The source of the host's power state, named in reasons; earlier histories do not record it."""
    seen = case.watch.hosts.get(host)
    return (seen.power_source if seen is not None else "") or "the hypervisor"


def _gone(case: Case) -> Verdict | None:
    opinion = case.watch.opinion
    if opinion.state is State.GONE:
        return Verdict(
            kind=VerdictKind.LOST,
            summary=f"{opinion.why}, and its console shows no reason",
            onset_s=opinion.since_s,
            certain_s=opinion.since_s,
            stalls=case.stalls,
            reasons=(
                f"{_power_source(case, opinion.host)} has no running guest any more",
                "no crash, panic or OOM kill on the console",
            ),
        )
    if opinion.state is State.AGENT_DEAD:
        return _inconclusive(case, f"{opinion.why}: without an agent nothing is known of the load")
    if opinion.state is State.PAUSED:
        return _inconclusive(case, f"{opinion.why}: that says nothing about its kernel")
    return None


def _stopped(case: Case) -> Verdict | None:
    stop = case.watch.open_stop
    if stop is None or (case.watch.opinion.state is State.FINISHED and not case.recovery):
        return None  # no stop, or the load ended during it because its requests failed
    if stop.crawl is not None:
        return _crawled(case, stop, stop.crawl)
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
    if not stop.blocked and case.waiting == 0:
        return _inconclusive(
            case,
            f"progress stopped at {stop.onset_s:.1f} s, but no rung blocks and the kernel holds no task of the load",
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


def _crawled(case: Case, stop: Stop, crawl: Crawl) -> Verdict:
    reasons = (
        f"the baseline is {crawl.baseline:.0f} operations a second",
        f"progress never ended, and stayed so low for {case.watch.last_s - stop.onset_s:.0f} s",
        case.reclaimed(stop.onset_s),
    )
    return Verdict(
        kind=VerdictKind.LIVELOCKED,
        summary=f"progress at {crawl.share:.2%} of the baseline since {stop.onset_s:.1f} s",
        onset_s=stop.onset_s,
        certain_s=_certain(case, stop),
        blocked=stop.blocked,
        alive=stop.alive,
        stalls=case.stalls,
        reasons=tuple(filter(None, reasons)),
    )


def _certain(case: Case, stop: Stop) -> float:
    """The time of certainty. A wait that the storage's protocol allows is no hang before its bound."""
    return max(stop.certain_s, stop.onset_s + case.policy.bound_s)


def _hung(case: Case, stop: Stop, kind: VerdictKind, summary: str, last_reason: str) -> Verdict:
    reasons = [
        f"the last progress was at {stop.onset_s:.1f} s",
        f"at {stop.certain_s:.1f} s it was certain; blocked: {', '.join(stop.blocked) or 'nothing'}",
        f"it did not come back within {case.policy.patience_s:.0f} s",
        last_reason,
        case.reclaimed(stop.onset_s),
    ]
    if case.policy.bound_s:
        reasons.insert(2, f"it went on past the {case.policy.bound_s:.0f} s that the storage's protocol may wait")
    return Verdict(
        kind=kind,
        summary=summary,
        onset_s=stop.onset_s,
        certain_s=_certain(case, stop),
        blocked=stop.blocked,
        alive=stop.alive,
        stalls=case.stalls,
        reasons=tuple(filter(None, reasons)),
    )


def _finished(case: Case) -> Verdict | None:
    if not case.loaded or not case.ended:
        return None
    working = [host for host in case.watch.hosts.values() if host.workers]
    if not working:
        return _inconclusive(case, "no workload ever reported progress")
    gone, failed = sum(host.lost for host in working), sum(host.failed for host in working)
    if (gone or failed) and (found := case.first_io_error) is not None:
        return _io_failed(case, *found, gone, failed)
    if gone:
        return _inconclusive(case, f"{gone} workers died without a word; see the consoles")
    if failed:
        return _inconclusive(case, f"{failed} workers failed; see the workload's log among the evidence")
    return _ended_well(case, all(host.finished >= host.workers for host in working))


def _io_failed(case: Case, event: Event, finding: Finding, gone: int, failed: int) -> Verdict:
    """Storage failed requests. A task whose swap page cannot be read is killed (SIGBUS); a writer gets EIO."""
    title = finding.title or "I/O error"
    counts = ((gone, "died"), (failed, "failed"))
    ends = " and ".join(f"{count} workers {word}" for count, word in counts if count)
    return Verdict(
        kind=VerdictKind.IO_FAILED,
        summary=f"{event.host}: {title}; {ends}",
        onset_s=event.t,
        certain_s=event.t,
        stalls=case.stalls,
        reasons=(f"the console of {event.host} shows: {title}", f"{ends} of the load"),
    )


def _ended_well(case: Case, complete: bool) -> Verdict:
    bound = case.policy.bound_s
    waits = [(stall, _stop_of(case, stall).steal_s) for stall in case.stalls]
    beyond = [stall for stall, kept_s in waits if not bound or stall.duration_s - kept_s > bound]
    if beyond:
        longest = max(stall.duration_s for stall in beyond)
        return Verdict(
            kind=VerdictKind.STALLED,
            summary=f"{len(beyond)} stall(s), the longest {longest:.1f} s; each ended by itself",
            onset_s=beyond[0].onset_s,
            certain_s=_stop_of(case, beyond[0]).certain_s,
            stalls=case.stalls,
            reasons=("progress stopped and came back without the harness's doing",),
        )
    reasons = tuple(_wait(stall, kept_s, bound) for stall, kept_s in waits)
    if complete:
        summary = "every worker completed its passes"
        return Verdict(kind=VerdictKind.SURVIVED, summary=summary, stalls=case.stalls, reasons=reasons)
    if case.policy.time_limited and case.limit is not None:
        summary = "the workload ran its time without a stop"
        if case.stalls:
            summary = f"the workload ran its time; {len(case.stalls)} wait(s) within the bound of {bound:.0f} s"
        return Verdict(kind=VerdictKind.SURVIVED, summary=summary, stalls=case.stalls, reasons=reasons)
    limit = f" of {case.limit:.0f} s" if case.limit is not None else ""
    return _inconclusive(case, f"the workload still made progress when its time{limit} was over; give it more")


def _wait(stall: Stall, steal_s: float, bound: float) -> str:
    stolen = f", {steal_s:.1f} s of them steal time" if round(steal_s, 1) else ""
    return f"a wait of {stall.duration_s:.1f} s{stolen}, which the storage's protocol may take: up to {bound:.0f} s"


def _stop_of(case: Case, stall: Stall) -> Stop:
    return next(stop for stop in case.watch.stops if stop.onset_s == stall.onset_s)


def _inconclusive(case: Case, why: str) -> Verdict:
    return Verdict(kind=VerdictKind.INCONCLUSIVE, summary=why, stalls=case.stalls)
