"""Rules for hangs whose chain ends at storage: a server, a device, or only slow storage."""

from __future__ import annotations

from harness.diagnosis.graph.hang_model import Case, Group
from harness.diagnosis.graph.traits import Trait
from harness.diagnosis.rules.claims import Claim, waiting
from harness.diagnosis.rules.devices import cite_devices, devices_say
from harness.model.diagnosis import Cited, Confidence, NodeKind
from harness.model.finding import NoticeKind
from harness.model.hang_classes import HangClass

__all__ = ["block_stuck", "nfs_unreachable", "slow", "throttled"]

_RPC = ("rpc", "nfs-recovery", "nfs-slot")
_BLOCK = ("request", "superblock", "driver:")
_WITHOUT_SESSION = (
    "rpc_create_xprt", "rpc_ping", "rpc_call_null", "rpc_create", "nfs4_proc_destroy_session",
    "nfs4_proc_create_session",
    "nfs4_proc_exchange_id", "_nfs4_proc_exchange_id", "nfs4_destroy_clientid", "nfs4_proc_setclientid",
)  # fmt: skip
"""Calls that need no slot, state or recovery: their reply depends on the transport and the server only."""
MOST = 0.75
"""The share of blocked tasks whose chain must end at a device for it to be the cause."""
LONG_S = 100.0
"""Seconds after which a request of a block device is not just slow: the kernel's own default for a hung task is 120."""


def nfs_unreachable(case: Case) -> Claim | None:
    """An RPC of the NFS client without a reply."""
    silent = _silent(case)
    waiters = case.on(*_RPC)
    if silent:
        waiters = waiters or case.on("nfs-request")
    if not waiters or (case.share(*_RPC, "nfs-request") < 0.5 and not silent):
        return None
    server = case.resource(
        "nfs-server", NodeKind.REMOTE, f"NFS server {silent[-1].text.split()[2] if silent else ''}".strip()
    )
    waited = waiters[0].wait.key if waiters[0].wait else "rpc"
    case.link(waited, server, "is owed by", silent[-1:], sure=bool(silent))
    bare = next((group for group in waiters if _without_session(group)), None)
    first = bare or waiters[0]
    return Claim(
        hang_class=HangClass.NFS_SERVER_UNREACHABLE,
        confidence=_nfs_confidence(case, bool(silent), bare is not None),
        title=f"{waiting(sum(len(group.tasks) for group in waiters))} for a reply of the NFS server",
        explanation=f"{first.first.label} waits for the reply to an RPC, in {first.cite().frame}. The mount is hard, "
        f"so it "
        "waits until the server answers. " + ("The kernel says that the server does not respond." if silent else ""),
        leaves="the NFS server, or the network to it",
        evidence=(first.cite(), *silent),
        focus=tuple(group.node for group in waiters),
    )


def _silent(case: Case) -> list[Cited]:
    """The lines that report a silent server, unless the last one reports that it answers again."""
    words = case.facts.noticed(NoticeKind.NFS_SILENT, NoticeKind.NFS_BACK)
    return case.notices(NoticeKind.NFS_SILENT) if words and words[-1].kind is NoticeKind.NFS_SILENT else []


def _without_session(group: Group) -> bool:
    return any(step.name in _WITHOUT_SESSION for step in group.first.path)


def _nfs_confidence(case: Case, silent: bool, bare: bool) -> Confidence:
    serving = any(Trait.NFSD in group.traits for group in case.waiting)
    firm = (silent or bare) and not serving and case.share(*_RPC, "nfs-request") >= 0.5
    return Confidence.MEDIUM if firm else Confidence.LOW


def block_stuck(case: Case) -> Claim | None:
    """Requests of a block device that do not complete, with the layer that the stacks show, if possible a driver."""
    share = case.share(*_BLOCK, "suspended", "page", "page-lock", "swap")
    roots = [(node, count) for node, count in case.roots if _is_block(node)]
    if not roots or share < 0.5:
        return None
    signs = case.notices(NoticeKind.BLOCK_STUCK, NoticeKind.BLOCK_ERROR, NoticeKind.LINK_DOWN)
    drivers = [node for node, _ in roots if node.startswith("driver:")]
    node = drivers[0] if drivers else roots[0][0]
    waiters = case.on(node)
    held = max((group.persists_s for group in case.waiting if _ends_in_block(group)), default=0.0)
    where = waiters[0].cite().frame if waiters and node != "swap" else str(case.graph.nodes[node]["label"])
    devices, below = devices_say(case)
    return Claim(
        hang_class=HangClass.BLOCK_REQUEST_STUCK,
        confidence=Confidence.MEDIUM if signs or _lasts(case, held) else Confidence.LOW,
        title=f"{waiting(case.blocked)} for block I/O that does not complete; the chain ends in {where}",
        explanation="The tasks wait below the file system" + (f", the longest for {held:.0f} s" if held else "")
        + ". The device, its driver or the path to it is stuck, or so overloaded that it looks so." + devices,
        leaves=below or f"the device below {where}",
        evidence=(*(group.cite() for group in waiters[:3]), *signs, *cite_devices(case)),
        focus=tuple(node for node, _ in roots),
    )  # fmt: skip


def _lasts(case: Case, held: float) -> bool:
    """Whether the wait is longer than slow I/O explains: by the stacks, or by an I/O of the harness's own."""
    if case.stood:
        return case.share(*_BLOCK, "suspended", "swap") >= MOST
    return held >= LONG_S and case.share(*_BLOCK) >= MOST


def _is_block(node: str) -> bool:
    return node in ("request", "superblock", "suspended", "page", "page-lock", "swap") or node.startswith("driver:")


def _ends_in_block(group: Group) -> bool:
    key = group.wait.key if group.wait else ""
    return key in ("request", "superblock") or key.startswith("driver:")


def throttled(case: Case) -> Claim | None:
    """Writers that the dirty limit throttles, with nothing stuck in the text."""
    writers = case.on("throttle")
    count = sum(len(group.tasks) for group in writers)
    if not writers or count < case.blocked / 2 or not case.lasting:
        return None
    others = case.blocked - count
    return Claim(
        hang_class=HangClass.THROTTLED_WRITERS,
        confidence=Confidence.LOW if others else Confidence.MEDIUM,
        title=f"{waiting(count)} to write, held back by the limit of dirty pages",
        explanation=f"They have waited in {writers[0].cite().frame} for up to {case.persists_s:.0f} s: pages are "
        f"written "
        "more slowly than they are dirtied, or not at all; which of the two does not stand in the text.",
        leaves="the device or server that the dirty pages go to",
        evidence=tuple(group.cite() for group in writers[:3]),
        focus=tuple(group.node for group in writers),
    )


def slow(case: Case) -> Claim | None:
    """A single dump of tasks that wait for a full queue or the dirty limit, without any time."""
    signs = case.notices(NoticeKind.BLOCK_STUCK, NoticeKind.BLOCK_ERROR, NoticeKind.LINK_DOWN, NoticeKind.NFS_SILENT)
    ordinary = case.on("throttle", "request", "page", "flusher")
    moving = bool(case.waiting) and all(task.moved for group in case.waiting for task in group.tasks)
    returns = case.context.returned > 1 and sum(len(group.tasks) for group in ordinary) >= case.blocked / 2
    alike = len(ordinary) == len(case.waiting) and bool(case.on("throttle"))
    if not (moving or returns) and (signs or case.lasting or not alike):
        return None
    if not case.waiting or case.cycles:
        return None
    return Claim(
        hang_class=HangClass.SLOW_NOT_STUCK,
        confidence=Confidence.MEDIUM if moving or returns else Confidence.LOW,
        title=f"{waiting(case.blocked)} as they do whenever a device is slower than its writers",
        explanation=_why_slow(case, moving, returns),
        leaves="the device",
        evidence=tuple(group.cite() for group in case.waiting[:3]),
        focus=tuple(group.node for group in case.waiting),
    )


def _why_slow(case: Case, moving: bool, returns: bool) -> str:
    if moving:
        return "The stacks of the same tasks differ from dump to dump: they move."
    if returns:
        return (
            f"I/O that the harness asked for took long and came back, {case.context.returned} times in half a minute."
        )
    return (
        "The flusher and the writers wait for the device, nobody holds a lock that another wants, nothing failed, and "
        "the text holds one look only: it does not say that anything has stood still."
    )
