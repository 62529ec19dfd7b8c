"""Implied edges, which no single stack shows: who serves storage, sends its requests, writes pages or stops nfsd."""

from __future__ import annotations

from harness.diagnosis.graph.hang_model import Case, Group, cite_notice
from harness.diagnosis.graph.host_context import serves
from harness.diagnosis.graph.traits import Trait, first_with
from harness.diagnosis.read.facts import Workqueue
from harness.model.diagnosis import Cited, NodeKind
from harness.model.finding import NoticeKind
from harness.model.storage_protocols import NFS, PROTOCOLS, StorageProtocol

__all__ = ["full_queues", "imply"]

_SHRINKING = ("shrink_slab", "super_cache_scan", "do_shrink_slab")


def imply(case: Case) -> None:
    """Add the edges that follow from the kinds of the waits."""
    _name_swap(case)
    for group in case.waiting:
        _sends(case, group)
        _serves(case, group)
        _answers(case, group)
        _writes(case, group)
    _evicts(case)
    _dirty_pages_of_nfs(case)
    _page_of_sync(case)
    _slots(case)


def _name_swap(case: Case) -> None:
    if "swap" in case.graph and (devices := case.facts.noticed(NoticeKind.SWAP)):
        case.graph.nodes["swap"]["label"] = f"swap on {devices[-1].about}"


def _sends(case: Case, group: Group) -> None:
    """Edges from swap to a task that sends its requests and waits for memory."""
    if (
        "swap" not in case.graph
        or Trait.STORAGE_SEND not in group.traits
        or not case.graph.has_edge(group.node, "memory")
    ):
        return
    devices = case.facts.noticed(NoticeKind.SWAP)[-1:]
    names = [step.name for step in group.first.path]
    same = any(
        protocol.device in device.about and any(protocol.function in name for name in names)
        for device in devices
        for protocol in PROTOCOLS
        if protocol.device
    )
    evidence = [group.shows(Trait.STORAGE_SEND), *(cite_notice(device) for device in devices)]
    case.link("swap", group.node, "its requests are sent by", evidence, sure=same)


def _serves(case: Case, group: Group) -> None:
    """Edges from storage to a userspace server on this host that waits for memory itself."""
    protocol = serves(group.first.name)
    starved = any(case.graph.has_edge(group.node, key) for key in ("memory", "memcg", "throttle", "swap"))
    if protocol is None or not starved or case.context.apart:
        return
    evidence = [group.cite(), *case.notices(NoticeKind.SELF_CONNECTED)]
    known = case.context.loopback or bool(case.notices(NoticeKind.SELF_CONNECTED))
    for key in protocol.waits:
        if key in case.graph and _on_device_of(case, protocol, key):
            case.link(key, group.node, "is served by", evidence, sure=known and key != "request")


def _on_device_of(case: Case, protocol: StorageProtocol, key: str) -> bool:
    """Whether this server may serve the swap device; the device's name must not contradict it."""
    devices = case.facts.noticed(NoticeKind.SWAP)
    word = protocol.device
    return key != "swap" or not word or not devices or any(word in device.about for device in devices)


def _answers(case: Case, group: Group) -> None:
    """Edges from an RPC of the NFS client to the NFS server of the same kernel, if the server waits itself."""
    forwards = Trait.NFS in group.traits and Trait.RECLAIM not in group.traits  # it re-exports another server's files
    if Trait.NFSD not in group.traits or forwards or case.context.apart:
        return
    evidence = [group.shows(Trait.NFSD)]
    for key in ("rpc", "nfs-request"):
        if key in case.graph and not (group.wait and group.wait.key == "callback"):
            case.link(key, group.node, "is answered by", evidence, sure=case.context.loopback)


def _writes(case: Case, group: Group) -> None:
    """Edges from pages, the dirty limit, loop devices and open handles to the tasks that write, serve or hold them."""
    step = first_with(group.first.path, Trait.WRITEBACK)
    own = group.wait.key if group.wait else ""
    for key in ("page", "page-lock", "reclaimed-page", "throttle"):
        if Trait.WRITEBACK in group.traits and key in case.graph and (key != own or key == "reclaimed-page"):
            label = "falls when pages are written by" if key == "throttle" else "is written by"
            case.link(key, group.node, label, [group.cite(step)], sure=False)
    if Trait.LOOP in group.traits and "request" in case.graph and own != "request":
        case.link("request", group.node, "is perhaps done by", [group.shows(Trait.LOOP)], sure=False)
    if Trait.HANDLE in group.traits and "handles" in case.graph:
        case.link("handles", group.node, "are held by", [group.shows(Trait.HANDLE)], sure=False)


def _evicts(case: Case) -> None:
    """A task without a stack that shrinks a cache while the NFS client is busy may be evicting an NFS inode."""
    client = any("nfs_" in held.at for task in case.facts.tasks for held in task.held)
    stopping = [group for group in case.on("lock:shrinker_rwsem") if Trait.NFSD in group.traits]
    for group in case.groups:
        shrinks = [held for held in group.first.held if held.at in _SHRINKING]
        if group.wait is not None or not shrinks or not client or not stopping or case.context.apart:
            continue
        rpc = case.resource("rpc", NodeKind.RPC, "the reply to an RPC")
        cited = Cited(source=group.first.source, line=shrinks[-1].line, task=group.first.label, frame=shrinks[-1].at)
        case.link(group.node, rpc, "evicts inodes, perhaps of NFS", [cited], sure=False)
        for other in stopping:
            case.link(rpc, other.node, "is answered by nfsd, which stops here", [other.cite()], sure=False)


def _dirty_pages_of_nfs(case: Case) -> None:
    """The dirty limit throttles a server until pages are written; with a client on the host, perhaps the client's."""
    servers = [g for g in case.on("throttle") if Trait.NFSD in g.traits or serves(g.first.name) is NFS]
    for key in ("rpc", "nfs-request"):
        if servers and case.on(key):
            case.link("throttle", key, "perhaps falls only after", [case.on(key)[0].cite()], sure=False)


def _page_of_sync(case: Case) -> None:
    """Sync waits for a page of some file system; if only NFS has pages in flight, the page is perhaps one of NFS."""
    if "page" in case.graph and not case.graph.out_degree("page") and case.on("nfs-request"):
        group = case.on("nfs-request")[0]
        case.link("page", "nfs-request", "is perhaps one of", [group.cite()], sure=False)


def full_queues(case: Case) -> list[Workqueue]:
    """Workqueues with all slots taken and more work waiting; the newest sighting of each."""
    full = {q.name: q for q in case.facts.workqueues if q.limit and q.active >= q.limit and q.inactive}
    return list(full.values())


def _slots(case: Case) -> None:
    """Edges from block I/O to the full workqueue that must do it, and on to the waiting workers that fill it."""
    for queue in full_queues(case):
        workers = [group for group in case.waiting if any(task.pid in queue.flying for task in group.tasks)]
        label = f"a slot of workqueue {queue.name} ({queue.active} of {queue.limit} taken)"
        for group in workers:
            if group.wait is None:
                continue
            slot = case.resource(f"slot:{queue.name}", NodeKind.WORK, label)
            cited = Cited(source=queue.source, line=queue.line, text=f"workqueue {queue.name}: in flight")
            case.link(slot, group.node, "is taken by", [cited])
            waits = Cited(source=queue.source, line=queue.inactive_line, text=f"workqueue {queue.name}: inactive work")
            case.link(group.wait.key, slot, "is done by work that waits for", [waits], sure=False)
