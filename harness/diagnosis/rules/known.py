"""Known cures: by class, and by a function on a stack that a known bug leaves there.

Each commit was looked up; none is here from memory. A kernel older than the commit may have the bug, a newer one may
have another bug with the same stack.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.diagnosis.graph.hang_model import Case
from harness.diagnosis.read.facts import StallKind
from harness.model.diagnosis import HangClass, Remedy

__all__ = ["confirm_of", "remedies_of"]

_C = HangClass
_BY_CLASS: dict[HangClass, tuple[Remedy, ...]] = {
    _C.LOCAL_STORAGE_SERVER: (
        Remedy(text="put the server on another host, or the swap on a local device"),
        Remedy(
            text="let the server call prctl(PR_SET_IO_FLUSHER) and mlockall() before it serves: its allocations then "
            "do not wait "
            "for I/O; the memory that its system calls need must still be there",
            commit='8d19f1c8e193 ("prctl: PR_{G,S}ET_IO_FLUSHER to support controlling memory reclaim"), v5.6',
        ),
    ),
    _C.SWAP_OVER_NETWORK: (
        Remedy(text="bring the server or the network back, if it is gone: look at that first"),
        Remedy(
            text="the path that sends must be allowed the reserves: SOCK_MEMALLOC on the socket, and no reclaim "
            "while sending; "
            "check that the driver has both",
            commit='7f338fe4540b ("nbd: set SOCK_MEMALLOC for access to PFMEMALLOC reserves"), v3.6',
        ),
        Remedy(text="swap over NFS: the same for the NFS client", commit='a564b8f03986 ("nfs: enable swap on NFS"), '
        'v3.6'),
        Remedy(text="raise vm.min_free_kbytes, so that the reserves last until replies arrive"),
    ),
    _C.LOOPBACK_NFS_RECLAIM: (
        Remedy(
            text="shrinkers no longer take a lock that a stopping nfsd wants",
            commit='ca1d36b82394 ("mm: shrinker: make global slab shrink lockless"), v6.7',
        ),
        Remedy(
            text="nfsd is throttled by the device that it writes to, not by the pages of its own client",
            commit='a37b0715ddf3 ("mm/writeback: replace PF_LESS_THROTTLE with PF_LOCAL_THROTTLE"), v5.8',
        ),
        Remedy(
            text="reclaim waits for a loop-back NFS server for a bounded time only",
            commit='9590544694be ("NFS: avoid deadlocks with loop-back mounted NFS filesystems.")',
        ),
        Remedy(
            text="the same for kcompactd",
            commit='ce6d9c1c2b5c ("NFS: fix nfs_release_folio() to not deadlock via kcompactd writeback"), v6.14',
        ),
        Remedy(text="do not mount an export on the host that serves it: use a bind mount"),
    ),
    _C.NFS_SERVER_UNREACHABLE: (
        Remedy(text="bring the server or the network back: a hard mount goes on by itself"),
        Remedy(text="to give up: kill -9 the tasks (RPC waits are killable), umount -f, or mount softerr with timeo "
        "and retrans"),
    ),
    _C.BLOCK_REQUEST_STUCK: (Remedy(text="follow the device: its driver, its timeout handler, the path, the disks "
    "below it"),),
    _C.FILESYSTEM_FROZEN: (
        Remedy(text="fsfreeze -u MOUNTPOINT thaws one file system, sysrq j all that were frozen with FIFREEZE"),
        Remedy(text="dmsetup resume NAME, where the device below was suspended together with its file system"),
        Remedy(text="what freezes must thaw also when it fails: a trap in the script, a time-out in the backup tool"),
    ),
    _C.JOURNAL_COMMIT_STUCK: (
        Remedy(text="a swap file behind a loop device on the same file system closes the circle: swap to the file "
        "directly"),
        Remedy(
            text="the loop driver's worker does not start I/O to free memory",
            commit='d0a255e795ab ("loop: set PF_MEMALLOC_NOIO for the worker thread"), v5.3',
        ),
    ),
    _C.WORKQUEUE_STARVATION: (
        Remedy(text="work that others wait for needs a queue of its own (WQ_MEM_RECLAIM), or a higher max_active"),
    ),
    _C.MEMCG_RECLAIM: (
        Remedy(text="allocations in writeback must be GFP_NOFS: memalloc_nofs_save() around the writepages path"),
        Remedy(text="until then raise the limit of the control group"),
    ),
    _C.THROTTLED_WRITERS: (
        Remedy(text="lower vm.dirty_background_bytes and vm.dirty_bytes, so that writing starts earlier and waits "
        "are short"),
    ),
    _C.SLOW_NOT_STUCK: (Remedy(text="nothing to cure in the kernel: the device is the limit"),),
}  # fmt: skip
_BY_FRAME: tuple[tuple[str, str, Remedy], ...] = (
    ("callback", r"nfsd4_shutdown_callback$", Remedy(
        text="a known bug leaves this stack (a callback that never ends); a later report says that it is not the "
        "whole cure",
        commit='036ac2778f7b ("NFSD: fix hang in nfsd4_shutdown_callback")')),
    ("driver:dm_integrity", r"wait_and_add_new_range$", Remedy(
        text="a known bug leaves this stack: a deadlock of overlapping I/O",
        commit='4ed319c6ac08 ("dm integrity: fix deadlock with overlapping I/O")')),
    ("memory", r"xfs_buf_alloc_pages$", Remedy(
        text="a known bug leaves this stack: the bulk allocator returned without a page and did not wake kswapd",
        commit='c572e4888ad1 ("mm/page_alloc: always attempt to allocate at least one page during bulk allocation"), '
        'v5.19')),
    ("in:iscsit_free_session", r"iscsit_free_session$", Remedy(
        text="a known bug leaves this stack: two threads end the same session and one is never woken",
        commit='e49a7d994379 ("scsi: target: fix hang when multiple threads try to destroy the same iscsi session")')),
    ("nfs-init", r"nfs_wait_client_init_complete$", Remedy(
        text="a mount of a dead server no longer holds up the mounts of others",
        commit='dd99e9f98fbf ("NFSv4: Initialise connection to the server in nfs4_alloc_client()")')),
    ("nfs-request", r"(?:filemap_write_and_wait_range|nfs_file_fsync|nfs_wb_all)$", Remedy(
        text="a known bug leaves this stack: write requests are leaked, and their pages stay under writeback",
        commit='f57dcf4c7211 ("NFS: Fix I/O request leakages")')),
    ("lock:shrinker_rwsem", r"", Remedy(
        text="registering a shrinker no longer waits for reclaim",
        commit='ca1d36b82394 ("mm: shrinker: make global slab shrink lockless"), v6.7')),
    ("stall", r"nfsd_file_(?:acquire|mark_find_or_create)$", Remedy(
        text="a known bug leaves this stack: a race for a lock that is won for ever",
        commit='90d2f1da832f ("nfsd: Fix a soft lockup race in nfsd_file_mark_find_or_create()")')),
    ("pool", r"blk_mq_run_work_fn$", Remedy(
        text="a known bug of dispatch to a very fast device, which goes on without an end",
        commit='572299f03afd ("block: limit request dispatch loop duration"), v5.18')),
)  # fmt: skip
"""The resource waited for ("stall", "pool" for what does not wait), a function near the top of the stack, the cure."""
_CONFIRM: dict[HangClass, tuple[str, ...]] = {
    _C.LOCAL_STORAGE_SERVER: (
        "/proc/net/tcp or ss -tnp: the client's connection goes to this host",
        "sysrq t: the server's stack stands in reclaim while all requests of its device are in flight",
    ),
    _C.SWAP_OVER_NETWORK: (
        "sysrq t (not w): the worker that sends for the swap device stands in an allocation, also in state R",
        "sysrq m: free memory below min; the server is idle and has nothing to answer",
    ),
    _C.LOOPBACK_NFS_RECLAIM: ("/proc/mounts against /etc/exports: the mount's server is this host",
                              "kill -9 the task in reclaim or drop_caches: if all goes on, it was the circle"),
    _C.NFS_SERVER_UNREACHABLE: ("rpcinfo and ping to the server; /proc/net/rpc and rpc_debug (rpcdebug -m rpc -c) "
    "for pending RPCs",
                                "a capture of port 2049: retransmissions without a reply"),
    _C.BLOCK_REQUEST_STUCK: ("/sys/kernel/debug/block/*/hctx*/busy: requests that stay in_flight",
                             "/sys/block/*/inflight and stat, twice: not moving means stuck, moving means slow",
                             "dmsetup info: a device in state SUSPENDED holds I/O back and shows none in flight; "
                             "dmsetup resume NAME lets it go on"),
    _C.FILESYSTEM_FROZEN: ("fsfreeze -u on each mount point: it fails with EINVAL where nothing is frozen; "
                           "where it was the cause all goes on; sysrq j does it for all",
                           "dmsetup info: a device in state SUSPENDED below the file system",
                           "crash or drgn: super_block.s_writers.frozen is not 0"),
    _C.JOURNAL_COMMIT_STUCK: ("sysrq t: the stack of jbd2/<device>, and of every task with a handle open", "losetup "
    "-l and /proc/swaps"),
    _C.LOCK_HOLDER_WAITS: ("a kernel with lockdep: sysrq d lists the holders", "the holder's stack, twice, some "
    "seconds apart"),
    _C.WORKQUEUE_STARVATION: ("sysrq t ends with the busy workqueues: active against max_active, and what is "
    "inactive",),
    _C.MEMCG_RECLAIM: ("memory.current against memory.max of the task's group", "the page's owner: crash or drgn, "
    "page->mapping"),
    _C.THROTTLED_WRITERS: ("/proc/vmstat nr_dirty, nr_writeback, nr_written, twice",),
    _C.PROCESSOR_STUCK: ("sysrq l, some times: the frame that stays", "perf top, if the machine still answers"),
    _C.SLOW_NOT_STUCK: ("the same dump a minute later: the stacks, or /sys/block/*/stat, differ",),
    _C.UNKNOWN: ("sysrq w and t, twice, a minute apart", "a kernel with lockdep: sysrq d lists who holds which lock"),
}  # fmt: skip
_NEAR = 12
"""Frames from the top that are compared."""
_FRAMES = tuple((key, re.compile(pattern), remedy) for key, pattern, remedy in _BY_FRAME)


def remedies_of(hang_class: HangClass, case: Case) -> tuple[Remedy, ...]:
    """What is known to help: first what is known of these stacks, then what is known of the class; no commit twice."""
    seen = {(key, name) for key, names in _tops(case) for name in names}
    found = [remedy for key, pattern, remedy in _FRAMES if any(key == at and pattern.match(name) for at, name in seen)]
    known = {remedy.commit[:12] for remedy in found}
    return (*found, *(remedy for remedy in _BY_CLASS.get(hang_class, ()) if remedy.commit[:12] not in known))


def _tops(case: Case) -> Iterator[tuple[str, list[str]]]:
    """The resource waited for and the functions near the top, of every group, stall and stuck pool."""
    for group in case.waiting:
        if group.wait is not None:
            yield group.wait.key, [step.name for step in group.first.path[:_NEAR]]
    for stall in case.facts.stalls:
        if stall.kind is not StallKind.POOL:
            yield "stall", [step.name for step in stall.steps if step.sure][:_NEAR]
    if any(stall.kind is StallKind.POOL for stall in case.facts.stalls):
        for queue in case.facts.workqueues:
            yield "pool", list(queue.flying.values())[:_NEAR]


def confirm_of(hang_class: HangClass) -> tuple[str, ...]:
    """What to look at that would show a diagnosis of this class right or wrong."""
    return _CONFIRM.get(hang_class, ())
