"""Hang classes, one record each; all other code reads the properties of a class from its record.

A new class is a member and a record here, a rule in `harness/diagnosis/rules/`, a section of docs/diagnosis.md, and
their tests. Each commit was looked up; none is cited from memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["HANG_CLASSES", "HangClass", "HangClassRecord", "Remedy"]


class HangClass(StrEnum):
    """Hang classes; docs/diagnosis.md lists the evidence that each requires."""

    LOOPBACK_NFS_RECLAIM = "loopback_nfs_reclaim"
    SWAP_OVER_NETWORK = "swap_over_network"
    LOCAL_STORAGE_SERVER = "local_storage_server"
    NFS_SERVER_UNREACHABLE = "nfs_server_unreachable"
    BLOCK_REQUEST_STUCK = "block_request_stuck"
    FILESYSTEM_FROZEN = "filesystem_frozen"
    JOURNAL_COMMIT_STUCK = "journal_commit_stuck"
    LOCK_HOLDER_WAITS = "lock_holder_waits"
    WORKQUEUE_STARVATION = "workqueue_starvation"
    MEMCG_RECLAIM = "memcg_reclaim"
    THROTTLED_WRITERS = "throttled_writers"
    PROCESSOR_STUCK = "processor_stuck"
    SLOW_NOT_STUCK = "slow_not_stuck"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    """A known fix or mitigation; `commit` is a kernel commit in the form `abcdef123456 ("subject"), v6.7`."""

    text: str
    commit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HangClassRecord:
    """Properties of a class: `title` names it in a few words, `meaning` explains it in a sentence.

    `confirm` lists checks that would confirm or refute a diagnosis of this class.
    """

    title: str
    meaning: str
    confirm: tuple[str, ...]
    remedies: tuple[Remedy, ...] = ()


HANG_CLASSES: Mapping[HangClass, HangClassRecord] = {
    HangClass.LOOPBACK_NFS_RECLAIM: HangClassRecord(
        title="reclaim goes round through loopback NFS",
        meaning="The NFS client and the kernel's NFS server are on one host, and each waits for the other.",
        confirm=(
            "/proc/mounts against /etc/exports: the mount's server is this host",
            "kill -9 the task in reclaim or drop_caches: if all goes on, it was the circle",
        ),
        remedies=(
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
            Remedy(
                text="do not mount an export on the host that serves it: use a bind mount",
            ),
        ),
    ),
    HangClass.SWAP_OVER_NETWORK: HangClassRecord(
        title="reclaim waits for swap over the network",
        meaning="Memory is freed by writing to swap on the network, and that path needs memory.",
        confirm=(
            "sysrq t (not w): the worker that sends for the swap device stands in an allocation, also in state R",
            "sysrq m: free memory below min; the server is idle and has nothing to answer",
        ),
        remedies=(
            Remedy(
                text="bring the server or the network back, if it is gone: look at that first",
            ),
            Remedy(
                text="the path that sends must be allowed the reserves: SOCK_MEMALLOC on the socket, and no "
                "reclaim while sending; check that the driver has both",
                commit='7f338fe4540b ("nbd: set SOCK_MEMALLOC for access to PFMEMALLOC reserves"), v3.6',
            ),
            Remedy(
                text="swap over NFS: the same for the NFS client",
                commit='a564b8f03986 ("nfs: enable swap on NFS"), v3.6',
            ),
            Remedy(
                text="raise vm.min_free_kbytes, so that the reserves last until replies arrive",
            ),
        ),
    ),
    HangClass.LOCAL_STORAGE_SERVER: HangClassRecord(
        title="a storage server in user space waits for memory on its own host",
        meaning="A userspace storage server waits for memory, or in the queue of dirty pages, behind the tasks that "
        "it serves itself.",
        confirm=(
            "/proc/net/tcp or ss -tnp: the client's connection goes to this host",
            "sysrq t: the server's stack stands in reclaim while all requests of its device are in flight",
        ),
        remedies=(
            Remedy(
                text="put the server on another host, or the swap on a local device",
            ),
            Remedy(
                text="let the server call prctl(PR_SET_IO_FLUSHER) and mlockall() before it serves: its "
                "allocations then do not wait for I/O; the memory that its system calls need must still be "
                "there",
                commit='8d19f1c8e193 ("prctl: PR_{G,S}ET_IO_FLUSHER to support controlling memory reclaim"), v5.6',
            ),
        ),
    ),
    HangClass.NFS_SERVER_UNREACHABLE: HangClassRecord(
        title="an NFS client waits for a server that does not answer",
        meaning="Tasks of the NFS client wait for a reply.",
        confirm=(
            "rpcinfo and ping to the server; /proc/net/rpc and rpc_debug (rpcdebug -m rpc -c) for pending RPCs",
            "a capture of port 2049: retransmissions without a reply",
        ),
        remedies=(
            Remedy(
                text="bring the server or the network back: a hard mount goes on by itself",
            ),
            Remedy(
                text="to give up: kill -9 the tasks (RPC waits are killable), umount -f, or mount softerr with "
                "timeo and retrans",
            ),
        ),
    ),
    HangClass.BLOCK_REQUEST_STUCK: HangClassRecord(
        title="a block request never completed",
        meaning="The chain ends below the file system: a request, a RAID stripe, a device-mapper target.",
        confirm=(
            "/sys/kernel/debug/block/*/hctx*/busy: requests that stay in_flight",
            "/sys/block/*/inflight and stat, twice: not moving means stuck, moving means slow",
            "dmsetup info: a device in state SUSPENDED holds I/O back and shows none in flight; dmsetup resume "
            "NAME lets it go on",
        ),
        remedies=(
            Remedy(
                text="follow the device: its driver, its timeout handler, the path, the disks below it",
            ),
        ),
    ),
    HangClass.FILESYSTEM_FROZEN: HangClassRecord(
        title="a file system is frozen and nobody thaws it",
        meaning="Tasks wait for freeze protection, which is taken before anything in a file system is changed, and "
        "nobody is at work on freezing or thawing.",
        confirm=(
            "fsfreeze -u on each mount point: it fails with EINVAL where nothing is frozen; where it was the cause "
            "all goes on; sysrq j does it for all",
            "dmsetup info: a device in state SUSPENDED below the file system",
            "crash or drgn: super_block.s_writers.frozen is not 0",
        ),
        remedies=(
            Remedy(
                text="fsfreeze -u MOUNTPOINT thaws one file system, sysrq j all that were frozen with FIFREEZE",
            ),
            Remedy(
                text="dmsetup resume NAME, where the device below was suspended together with its file system",
            ),
            Remedy(
                text="what freezes must thaw also when it fails: a trap in the script, a time-out in the backup tool",
            ),
        ),
    ),
    HangClass.JOURNAL_COMMIT_STUCK: HangClassRecord(
        title="a journal commit is stuck",
        meaning="A commit of ext4's journal waits for open handles; or a task has a handle open while it frees "
        "memory and waits.",
        confirm=(
            "sysrq t: the stack of jbd2/<device>, and of every task with a handle open",
            "losetup -l and /proc/swaps",
        ),
        remedies=(
            Remedy(
                text="a swap file behind a loop device on the same file system closes the circle: swap to the file "
                "directly",
            ),
            Remedy(
                text="the loop driver's worker does not start I/O to free memory",
                commit='d0a255e795ab ("loop: set PF_MEMALLOC_NOIO for the worker thread"), v5.3',
            ),
        ),
    ),
    HangClass.LOCK_HOLDER_WAITS: HangClassRecord(
        title="a lock is held by a task that itself waits",
        meaning="A circle of locks, or a lock whose holder waits for another task.",
        confirm=(
            "a kernel with lockdep: sysrq d lists the holders",
            "the holder's stack, twice, some seconds apart",
        ),
    ),
    HangClass.WORKQUEUE_STARVATION: HangClassRecord(
        title="a workqueue has no worker left",
        meaning="Work is queued that no worker takes up: its slots are taken by work that waits, or its pool is "
        "kept busy.",
        confirm=("sysrq t ends with the busy workqueues: active against max_active, and what is inactive",),
        remedies=(
            Remedy(
                text="work that others wait for needs a queue of its own (WQ_MEM_RECLAIM), or a higher max_active",
            ),
        ),
    ),
    HangClass.MEMCG_RECLAIM: HangClassRecord(
        title="reclaim within a memory control group",
        meaning="A task frees memory of its control group, and what it waits for waits for it.",
        confirm=(
            "memory.current against memory.max of the task's group",
            "the page's owner: crash or drgn, page->mapping",
        ),
        remedies=(
            Remedy(
                text="allocations in writeback must be GFP_NOFS: memalloc_nofs_save() around the writepages path",
            ),
            Remedy(
                text="until then raise the limit of the control group",
            ),
        ),
    ),
    HangClass.THROTTLED_WRITERS: HangClassRecord(
        title="writers are throttled",
        meaning="Writers are held back by the limit of dirty pages, and nothing in the text is stuck.",
        confirm=("/proc/vmstat nr_dirty, nr_writeback, nr_written, twice",),
        remedies=(
            Remedy(
                text="lower vm.dirty_background_bytes and vm.dirty_bytes, so that writing starts earlier and waits "
                "are short",
            ),
        ),
    ),
    HangClass.PROCESSOR_STUCK: HangClassRecord(
        title="a processor does not schedule",
        meaning="A processor runs one task and does not schedule.",
        confirm=(
            "sysrq l, some times: the frame that stays",
            "perf top, if the machine still answers",
        ),
    ),
    HangClass.SLOW_NOT_STUCK: HangClassRecord(
        title="slow, not stuck",
        meaning="Tasks wait as they do whenever a device is slower than its writers.",
        confirm=("the same dump a minute later: the stacks, or /sys/block/*/stat, differ",),
        remedies=(
            Remedy(
                text="nothing to cure in the kernel: the device is the limit",
            ),
        ),
    ),
    HangClass.UNKNOWN: HangClassRecord(
        title="unknown, no rule fits",
        meaning="The text shows no class.",
        confirm=(
            "sysrq w and t, twice, a minute apart",
            "a kernel with lockdep: sysrq d lists who holds which lock",
        ),
    ),
}
