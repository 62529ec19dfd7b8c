"""Rules for hangs in which freeing memory waits for something that needs memory."""

from __future__ import annotations

from harness.diagnosis.graph.hang_model import Case, Group
from harness.diagnosis.graph.host_context import serves
from harness.diagnosis.graph.traits import Trait
from harness.diagnosis.read.names import any_of
from harness.diagnosis.rules.claims import Claim, by_gaps, lower, waiting
from harness.diagnosis.rules.devices import cite_devices, devices_say
from harness.model.diagnosis import Confidence
from harness.model.finding import NoticeKind
from harness.model.hang_classes import HangClass
from harness.model.storage_protocols import PROTOCOLS

__all__ = ["local_storage_server", "loopback_nfs", "memcg_reclaim", "swap_over_network"]

_RECEIVERS = any_of(" ".join(protocol.receivers for protocol in PROTOCOLS))


def local_storage_server(case: Case) -> Claim | None:
    """A userspace storage server that waits, for memory or in a queue, behind its own clients."""
    for server in [group for group in case.waiting if serves(group.first.name)]:
        cycle = case.cycle_with(server.node)
        if cycle:
            return _server_claim(case, server, cycle)
    starved = [g for g in case.waiting if serves(g.first.name) and g.traits & {Trait.RECLAIM, Trait.ALLOC}]
    if not starved or case.context.apart:
        return None
    name = starved[0].first.name
    return Claim(
        hang_class=HangClass.LOCAL_STORAGE_SERVER,
        confidence=Confidence.LOW,
        title=f"{name} waits for memory on its own host",
        explanation=f"{name} is a storage server. It cannot answer while it waits for memory; whether anything on this "
        "host waits for its answer does not stand in the text.",
        leaves=f"whom {name} serves",
        evidence=(starved[0].cite(),),
        focus=(starved[0].node,),
    )


def _server_claim(case: Case, server: Group, cycle: list[str]) -> Claim:
    name = server.first.name
    what = next(
        (str(case.graph.nodes[node]["label"]) for node in cycle if node in ("swap", "rpc", "nfs-request", "fuse")),
        "storage",
    )
    return Claim(
        hang_class=HangClass.LOCAL_STORAGE_SERVER,
        confidence=by_gaps(case, cycle) if "swap" not in cycle or _is_client(case) else Confidence.LOW,
        title=f"{name} waits for memory that only {what} could free, and {what} is served by {name}",
        explanation=f"{waiting(case.blocked)}. Memory is freed by writing pages to {what}; those writes are done "
        f"when "
        f"{name}, on the same host, has answered them; {name} needs memory to go on and waits for the same writes.",
        cycle=tuple(cycle),
        evidence=(
            server.cite(),
            *case.notices(NoticeKind.BLOCK_STUCK, NoticeKind.SELF_CONNECTED, NoticeKind.MEMORY_LOW),
        ),
        focus=tuple(cycle),
    )


def _is_client(case: Case) -> bool:
    """Whether this host is known to have a device that its own server may serve."""
    notices = case.facts.noticed(NoticeKind.SWAP, NoticeKind.BLOCK_STUCK, NoticeKind.LINK_DOWN)
    named = any(_is_remote(case, notice.about) for notice in notices)
    receives = any(_RECEIVERS.match(task.name) for task in case.facts.tasks)
    return case.context.loopback or named or receives or bool(case.notices(NoticeKind.SELF_CONNECTED))


def _is_remote(case: Case, device: str) -> bool:
    """Whether a device is network storage, by its name or by the trial's storage."""
    return any(
        protocol.device in device and (not protocol.shares_device or protocol is case.context.protocol)
        for protocol in PROTOCOLS
        if protocol.device
    )


def swap_over_network(case: Case) -> Claim | None:
    """Reclaim that waits for swap over the network; surest with the sending task shown waiting for memory."""
    senders = [g for g in case.with_traits(Trait.STORAGE_SEND) if case.graph.has_edge(g.node, "memory")]
    for sender in senders:
        if cycle := case.cycle_with("memory", "swap", sender.node):
            return Claim(
                hang_class=HangClass.SWAP_OVER_NETWORK,
                confidence=by_gaps(case, cycle),
                title="reclaim waits for swap over the network, and the send waits for reclaim",
                explanation=f"{waiting(case.blocked)}. Memory is freed by writing pages to {_swap(case)}; the "
                f"requests "
                f"are sent by {sender.first.label}, in {sender.shows(Trait.STORAGE_SEND).frame}, which allocates "
                f"memory to "
                "send and waits until some is free: the path that frees memory has no reserve of its own.",
                cycle=tuple(cycle),
                evidence=(
                    sender.cite(),
                    sender.shows(Trait.STORAGE_SEND),
                    *case.notices(NoticeKind.BLOCK_STUCK, NoticeKind.MEMORY_LOW),
                ),
                focus=tuple(cycle),
            )
    return _waits_for_remote_swap(case)


def _swap(case: Case) -> str:
    return str(case.graph.nodes["swap"]["label"])


def _waits_for_remote_swap(case: Case) -> Claim | None:
    """Tasks that wait for swap, if the kernel reports that this swap is on the network."""
    waiters = case.on("swap")
    if not waiters:
        return None
    swaps = case.facts.noticed(NoticeKind.SWAP)
    on_network = any(_is_remote(case, notice.about) for notice in swaps[-1:])
    frames = {step.name for group in waiters for step in group.first.path}
    through_nfs = any(name.startswith(("nfs_swap", "nfs_direct")) for name in frames)
    stuck = case.notices(NoticeKind.BLOCK_STUCK, NoticeKind.LINK_DOWN, NoticeKind.NFS_SILENT)
    if not (on_network or through_nfs):
        return None
    lasts = bool(stuck) or case.lasting or case.stood
    here = case.context.loopback
    daemon = here and not _served_by_kernel(case)
    return Claim(
        hang_class=HangClass.LOCAL_STORAGE_SERVER if daemon else HangClass.SWAP_OVER_NETWORK,
        confidence=Confidence.MEDIUM if lasts and case.share("swap") >= 0.5 else Confidence.LOW,
        title=f"reclaim waits for {_swap(case)}, which is on the network" + (", served by this host" if here else ""),
        explanation=f"{waiting(sum(len(group.tasks) for group in waiters))} for pages to go to swap or to come "
        f"from it. "
        f"No stack shows who should send or answer these requests.{devices_say(case)[0]}",
        leaves="the server of the swap device, or the network to it",
        evidence=(waiters[0].cite(), *stuck, *case.notices(NoticeKind.SWAP), *cite_devices(case)),
        focus=("memory", "swap"),
    )


def _served_by_kernel(case: Case) -> bool:
    """Whether the storage under test is known to have no userspace server."""
    return case.context.protocol is not None and not case.context.protocol.servers


def loopback_nfs(case: Case) -> Claim | None:
    """A cycle through an RPC of the NFS client and the NFS server of the same kernel."""
    servers = {group.node for group in case.waiting if Trait.NFSD in group.traits}
    for cycle in case.cycles:
        if servers & set(cycle) and {"rpc", "nfs-request"} & set(cycle):
            return _loopback_claim(case, cycle, next(node for node in cycle if node in servers))
    return None


def _loopback_claim(case: Case, cycle: list[str], server: str) -> Claim:
    confidence = by_gaps(case, cycle)
    here = case.notices(NoticeKind.NFSD_HERE, NoticeKind.DROP_CACHES)
    if confidence is Confidence.LOW and "lock:shrinker_rwsem" in cycle and case.notices(NoticeKind.NFSD_HERE):
        confidence = Confidence.MEDIUM  # both locks are proven, and the kernel reports that it serves NFS itself
    group = case.at(server)
    return Claim(
        hang_class=HangClass.LOOPBACK_NFS_RECLAIM,
        confidence=confidence,
        title="the NFS client waits for the NFS server of the same host, which waits for what the client has",
        explanation=f"{waiting(case.blocked)}. The client frees memory or shrinks a cache and waits for a reply; the "
        f"server on the same kernel, here {group.first.label if group else server}, cannot give it before the client "
        f"is done.",
        cycle=tuple(cycle),
        evidence=(*([group.cite()] if group else []), *here),
        focus=tuple(cycle),
    )


def memcg_reclaim(case: Case) -> Claim | None:
    """A task that frees memory of its control group and waits; surest if that wait leads back to the task itself."""
    charged = [group for group in case.with_traits(Trait.MEMCG) if case.graph.has_edge(group.node, "memcg")]
    if not charged:
        return None
    for group in charged:
        if cycle := case.cycle_with(group.node, "memcg"):
            return _memcg_claim(case, group, by_gaps(case, cycle), tuple(cycle))
    holders = [g for g in charged if any(case.sure(lock, g.node) for lock in case.graph.predecessors(g.node))]
    return _memcg_claim(case, (holders or charged)[0], Confidence.MEDIUM if holders else Confidence.LOW, ())


def _memcg_claim(case: Case, group: Group, confidence: Confidence, cycle: tuple[str, ...]) -> Claim:
    own = "it is itself in the middle of writing such pages back"
    if not cycle:
        held = case.graph.in_degree(group.node) > 0
        own = "others wait for what it has" if held else "what keeps that from coming does not stand in the text"
    return Claim(
        hang_class=HangClass.MEMCG_RECLAIM,
        confidence=confidence if case.lasting or confidence is Confidence.LOW else lower(confidence, Confidence.MEDIUM),
        title=f"{group.first.label} frees memory of its control group and waits, and {own}",
        explanation="The control group is at its limit. The allocation frees pages of the group and waits for one "
        "that is "
        f"being written; {own}.",
        cycle=cycle,
        leaves="" if cycle else "what the control group's memory waits for",
        evidence=(group.cite(), group.shows(Trait.MEMCG), group.shows(Trait.WRITEBACK, Trait.MEMCG)),
        focus=(group.node, "memcg"),
    )
