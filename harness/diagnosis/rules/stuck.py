"""Rules for stuck processors, workqueues, journals and locks."""

from __future__ import annotations

import networkx as nx

from harness.diagnosis.graph.hang_model import Case, Group
from harness.diagnosis.graph.implied import full_queues
from harness.diagnosis.graph.traits import Trait
from harness.diagnosis.read.facts import Stall, StallKind, Workqueue
from harness.diagnosis.rules.claims import Claim, by_gaps, lower, waiting
from harness.model.diagnosis import Cited, Confidence, NodeKind
from harness.model.finding import NoticeKind
from harness.model.hang_classes import HangClass
from harness.verdicts.console.blame import stalled_in

__all__ = ["journal_stuck", "lock_holder", "processor_stuck", "workqueue_starved"]


def processor_stuck(case: Case) -> Claim | None:
    """A processor that does not schedule, as a watchdog reports."""
    stalls = [stall for stall in case.facts.stalls if stall.kind is not StallKind.POOL]
    if not stalls:
        return None
    stall = min(stalls, key=lambda one: (not one.steps, one.kind is StallKind.RCU))
    place = stalled_in([step.name for step in stall.steps if step.sure])
    where = place or "a place that the text does not show"
    who = f"{stall.task}:{stall.pid}" if stall.pid is not None else stall.task or "a task without a name in the text"
    cpu = f"processor {stall.cpu}" if stall.cpu is not None else "a processor"
    node = case.resource(cpu, NodeKind.PROCESSOR, cpu)
    what = f"{'an' if stall.kind is StallKind.RCU else 'a'} {stall.kind.value}"
    evidence = _stall_evidence(stall, who, where)
    task = case.resource(f"{who} on {cpu}", NodeKind.TASK, who)
    case.link(node, task, f"is not given up by, in {where}", evidence)
    return Claim(
        hang_class=HangClass.PROCESSOR_STUCK,
        confidence=_stall_confidence(case, stall) if place else Confidence.LOW,
        title=f"{cpu} is stuck in {where}, in {who}",
        explanation=f"The kernel reports {what}" + (f" of {stall.seconds:.0f} s" if stall.seconds else "")
        + f": {cpu} runs {who} in {where} and does not schedule. Tasks that want this processor, or a grace period, "
        f"wait.",
        evidence=evidence,
        focus=(node, task),
    )  # fmt: skip


def _stall_confidence(case: Case, stall: Stall) -> Confidence:
    """Higher if the watchdog's report shows the loop; low if other tasks already waited before the stall."""
    if any(group.first.line < stall.line and group.persists_s for group in case.waiting):
        return Confidence.LOW
    if stall.kind is StallKind.RCU:
        return Confidence.MEDIUM if stall.steps else Confidence.LOW
    return Confidence.HIGH if stall.steps and not case.waiting else Confidence.MEDIUM


def _stall_evidence(stall: Stall, who: str, where: str) -> tuple[Cited, ...]:
    headline = Cited(source=stall.source, line=stall.line, task=who, text=stall.text)
    frames = [step for step in stall.steps if step.name == where][:1]
    return (headline, *(Cited(source=stall.source, line=step.line, task=who, frame=step.name) for step in frames))


def workqueue_starved(case: Case) -> Claim | None:
    """Work that waits for a slot held by waiting work, or behind work that does not end."""
    for queue in full_queues(case):
        slot = f"slot:{queue.name}"
        cycle = case.cycle_with(slot) if slot in case.graph else []
        return _full_claim(case, queue, cycle)
    lockups = [stall for stall in case.facts.stalls if stall.kind is StallKind.POOL]
    return _pool_claim(case, lockups) if lockups else None


def _full_claim(case: Case, queue: Workqueue, cycle: list[str]) -> Claim:
    seen = [q for q in case.facts.workqueues if q.name == queue.name and q.active >= q.limit and q.inactive]
    return Claim(
        hang_class=HangClass.WORKQUEUE_STARVATION,
        confidence=by_gaps(case, cycle) if cycle else Confidence.LOW,
        title=f"workqueue {queue.name} is full: {queue.active} of {queue.limit} works run, and what they wait for is "
        f"queued",
        explanation=f"Every slot of workqueue {queue.name} is taken by a work item that waits; {queue.inactive} more "
        f"are "
        "not started. If what the running ones wait for is done by one of those, none of them ever ends.",
        cycle=tuple(cycle),
        leaves="" if cycle else "what the running works wait for",
        evidence=tuple(
            Cited(source=q.source, line=q.line, text=f"workqueue {q.name}: active={q.active}/{q.limit}")
            for q in seen[-3:]
        ),
        focus=tuple(cycle),
    )


def _pool_claim(case: Case, lockups: list[Stall]) -> Claim:
    last = lockups[-1]
    cpus = last.workqueue.removeprefix("pool cpus=")
    busy = [queue for queue in case.facts.workqueues if queue.cpus == cpus and queue.flying]
    flying = ", ".join(f"{work} ({pid})" for queue in busy[-1:] for pid, work in list(queue.flying.items())[:3])
    queue = busy[-1] if busy else None
    pool = case.resource(f"pool {cpus}", NodeKind.WORK, f"worker pool of processor {cpus}")
    evidence = [Cited(source=stall.source, line=stall.line, text=stall.text) for stall in lockups[-2:]]
    if queue is not None:
        worker = case.resource(flying, NodeKind.TASK, flying)
        at = Cited(source=queue.source, line=queue.line, text=f"workqueue {queue.name}: in flight {flying}")
        case.link(pool, worker, "is kept by", [at])
        evidence.append(at)
    pending = sum(q.pending for q in case.facts.workqueues if q.cpus == cpus)
    return Claim(
        hang_class=HangClass.WORKQUEUE_STARVATION,
        confidence=Confidence.MEDIUM if queue and pending else Confidence.LOW,
        title=f"worker pool of processor {cpus} takes up no work for {last.seconds or 0:.0f} s"
        + (f", behind {flying}" if flying else ""),
        explanation=f"Work is queued on the pool of processor {cpus} and none was taken up for "
        f"{last.seconds or 0:.0f} s"
        + (f": {flying} of workqueue {queue.name} keeps the processor, or keeps the pool busy." if queue else "."),
        evidence=tuple(evidence),
        focus=(pool,),
    )


def journal_stuck(case: Case) -> Claim | None:
    """A commit that waits for an open handle, a handle whose task waits, or a commit that no shown task ends."""
    if case.on("handles"):
        return _commit_claim(case, case.on("handles")[0])
    holders = [group for group in case.with_traits(Trait.HANDLE) if group.wait and group.wait.key not in ("journal",)]
    inverted = [group for group in holders if Trait.RECLAIM in group.traits]
    if inverted:
        return _handle_claim(case, inverted[0])
    share = case.share("journal", "xfs-log", "btrfs-commit")
    waiters = case.on("journal", "xfs-log", "btrfs-commit")
    if not waiters or share < 0.5:
        return None
    label = waiters[0].wait.label if waiters[0].wait else "the journal"
    return Claim(
        hang_class=HangClass.JOURNAL_COMMIT_STUCK,
        confidence=Confidence.LOW,
        title=f"{waiting(sum(len(group.tasks) for group in waiters))} for {label}",
        explanation=f"What {label} waits for does not stand in the text: its own thread is not among the stacks.",
        leaves="the thread that commits",
        evidence=tuple(group.cite() for group in waiters[:3]),
        focus=tuple(group.node for group in waiters),
    )


def _commit_claim(case: Case, commit: Group) -> Claim:
    holders = [group for group in case.with_traits(Trait.HANDLE) if case.graph.has_edge("handles", group.node)]
    cycle = case.cycle_with("handles", commit.node)
    shown = f", held by {holders[0].first.label}, which waits itself" if holders else ""
    confidence = lower(by_gaps(case, cycle), Confidence.MEDIUM) if cycle else Confidence.MEDIUM
    return Claim(
        hang_class=HangClass.JOURNAL_COMMIT_STUCK,
        confidence=confidence if case.lasting and (holders or not _device_trouble(case)) else Confidence.LOW,
        title=f"the journal's commit waits for handles that are still open{shown}",
        explanation=f"{commit.first.label} has stopped new handles and waits until the open ones are closed. "
        f"Everybody who "
        "wants to change the file system waits behind it.",
        cycle=tuple(cycle),
        leaves="" if holders else "the task that has a handle open",
        evidence=(commit.cite(), *(group.shows(Trait.HANDLE) for group in holders[:2])),
        focus=("handles", commit.node, *(group.node for group in holders)),
    )


def _device_trouble(case: Case) -> bool:
    """Whether the kernel reported trouble with a device, for which an open handle may wait."""
    return bool(case.notices(NoticeKind.BLOCK_STUCK, NoticeKind.BLOCK_ERROR, NoticeKind.LINK_DOWN))


def _handle_claim(case: Case, holder: Group) -> Claim:
    what = holder.wait.label if holder.wait else "something"
    return Claim(
        hang_class=HangClass.JOURNAL_COMMIT_STUCK,
        confidence=Confidence.LOW,
        title=f"{holder.first.label} has a journal handle open while it frees memory and waits for {what}",
        explanation="A commit cannot end while the handle is open. If what the task waits for needs that journal (a "
        "loop "
        "device or swap file on the same file system), none of them ever ends; where it leads does not stand in the "
        "text.",
        leaves=f"what serves {what}",
        evidence=(holder.shows(Trait.HANDLE), holder.shows(Trait.RECLAIM), holder.cite()),
        focus=(holder.node,),
    )


def lock_holder(case: Case) -> Claim | None:
    """A lock whose holder waits: in a cycle of locks, or for something that the text does not explain."""
    for cycle in case.cycles:
        kinds = {case.graph.nodes[node]["kind"] for node in cycle}
        if kinds == {NodeKind.TASK, NodeKind.LOCK}:
            return _lock_claim(case, [node for node in cycle if case.at(node)], by_gaps(case, cycle), tuple(cycle))
    pairs = [(u, v) for u, v in case.graph.edges if u.startswith("lock:") and (g := case.at(v)) and g.wait]
    pairs = [(lock, holder) for lock, holder in pairs if _unfollowed(case, holder)]
    pairs.sort(key=lambda edge: (not case.sure(*edge), -case.graph.in_degree(edge[0])))
    if not pairs:
        return None
    lock, holder = pairs[0]
    confidence = Confidence.MEDIUM if case.sure(lock, holder) and case.lasting else Confidence.LOW
    waiters = [node for node in case.graph.predecessors(lock) if case.at(node)]
    return _lock_claim(case, [holder, *waiters], confidence, ())


def _unfollowed(case: Case, holder: str) -> bool:
    """Whether the holder's chain ends at locks, work or tasks of this host, not at storage or memory."""
    group = case.at(holder)
    if group is None or group.wait is None:
        return False
    ends = [node for node in nx.descendants(case.graph, holder) if not case.graph.out_degree(node)]
    local = (NodeKind.LOCK, NodeKind.WORK, NodeKind.PROCESSOR, NodeKind.SERVER, NodeKind.TASK)
    return all(case.graph.nodes[node]["kind"] in local for node in ends)


def _lock_claim(case: Case, nodes: list[str], confidence: Confidence, cycle: tuple[str, ...]) -> Claim:
    groups = [group for node in nodes if (group := case.at(node))]
    holder = groups[0]
    waits = holder.wait.label if holder.wait else "something"
    shape = (
        "a circle of locks: each holder waits for the next"
        if cycle
        else f"{holder.first.label} holds a lock and waits for {waits}"
    )
    return Claim(
        hang_class=HangClass.LOCK_HOLDER_WAITS,
        confidence=confidence,
        title=shape,
        explanation=f"{waiting(case.blocked)}. " + " ".join(
            f"{group.first.label} waits for {group.wait.label} in "
            f"{group.wait.function}." for group in groups[:4] if group.wait
        ),
        cycle=cycle,
        leaves="" if cycle else waits,
        evidence=tuple(group.cite() for group in groups[:4]),
        focus=cycle or tuple(nodes),
    )  # fmt: skip
