"""The wait of a task by its stack: the innermost frame that names a resource."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.diagnosis.graph.locks import lock_named
from harness.diagnosis.graph.traits import Trait, traits_of
from harness.diagnosis.read.facts import Step, Task
from harness.diagnosis.read.names import any_of
from harness.model.diagnosis import NodeKind
from harness.model.storage_protocols import PROTOCOLS
from harness.verdicts.console.blame import blocked_in

__all__ = ["Wait", "wait_of"]

DEPTH = 5
"""Frames searched for a wait, from the first that is no primitive; frames further out are only callers."""


@dataclass(frozen=True, slots=True)
class Wait:
    """The wait of a task: `key` is the resource, `step` the frame that shows it, `traits` those of the whole stack.

    `function` is the first frame that is no scheduler or lock primitive. `alike` is false if two tasks with the same
    key may wait for two different objects of one kind (the rwsem of some inode).
    """

    key: str
    kind: NodeKind
    label: str
    step: Step
    function: str
    traits: frozenset[Trait]
    alike: bool = True


_ROWS: tuple[tuple[str, NodeKind, str, str], ...] = (
    ("throttle", NodeKind.MEMORY, "the limit of dirty pages", r"balance_dirty_pages"),
    ("memcg", NodeKind.MEMORY, "memory of a control group", r"""
        mem_cgroup_(?:oom|handle_oom|handle_over_high|wait|out_of_memory) reclaim_high
    """),
    ("mempool", NodeKind.MEMORY, "an element of a memory pool", r"mempool_alloc"),
    ("memory", NodeKind.MEMORY, "free memory", r"""
        congestion_wait wait_iff_congested reclaim_throttle throttle_(?:direct_reclaim|vm_writeout)
        _*alloc_pages_slowpath out_of_memory shrink_inactive_list too_many_isolated _*alloc_pages_direct_compact
        isolate_migratepages xfs_buf_alloc_pages
    """),
    ("lock:freeze protection", NodeKind.LOCK, "freeze protection", r"""
        _*sb_start_write sb_start_(?:pagefault|intwrite) freeze_super sb_wait_write
    """),
    ("journal", NodeKind.WORK, "the commit of the journal", r"""
        (?:jbd2_)?_*(?:jbd2_)?log_wait_(?:commit|for_space) jbd2_complete_transaction
        wait_transaction_(?:locked|switching) start_this_handle add_transaction_credits jbd2__journal_start
        do_get_write_access jbd2_journal_lock_updates jbd2_journal_force_commit jbd2_log_do_checkpoint
    """),
    ("handles", NodeKind.WORK, "journal handles that are still open", r"""
        jbd2_journal_(?:commit_transaction|wait_updates)
    """),
    ("xfs-log", NodeKind.WORK, "the XFS log", r"""
        xlog_grant_head xlog_wait _*xfs_log_force xlog_force xlog_cil_\w*(?:force|push|wait) xlog_state_get
        _*xfs_iunpin xfs_ail_push_all xlog_covered
    """),
    ("btrfs-commit", NodeKind.WORK, "a btrfs transaction", r"""
        wait_current_trans btrfs_wait_for_commit wait_for_commit btrfs_commit_transaction (?:handle_)?reserve_ticket
        btrfs_start_ordered_extent btrfs_wait_ordered
    """),
    ("nfs-init", NodeKind.LOCK, "another task's mount of an NFS server", r"nfs_wait_client_init_complete"),
    ("nfs-recovery", NodeKind.RPC, "recovery of the NFS state", r"""
        nfs4_wait_clnt_recover nfs4_drain_slot nfs41_drain nfs4_end_drain
    """),
    ("nfs-slot", NodeKind.RPC, "a free NFS session slot", r"nfs4?1?_(?:setup_sequence|alloc_slot)"),
    ("callback", NodeKind.RPC, "callbacks to an NFS client", r"""
        nfsd4_shutdown_callback nfsd41_cb_inflight nfsd4_probe_callback_sync nfsd4_wait
    """),
    ("rpc", NodeKind.RPC, "the reply to an RPC", r"""
        rpc_wait_bit _*rpc_execute _*rpc_wait_for_completion rpc_shutdown_client nfs4?_delay nfs3_rpc_wrapper
    """),
    ("nfs-request", NodeKind.PAGE, "write requests of the NFS client", r"""
        nfs_(?:wait_bit|wait_on_request|iocounter|lock_and_join|wb_|commit_|async_)\w*
    """),
    ("superblock", NodeKind.REQUEST, "the update of the RAID superblock", r"md_write_start"),
    ("suspended", NodeKind.REQUEST, "a device that is suspended or quiesced", r"""
        blk_(?:mq_)?queue_enter _*bio_queue_enter
        mddev_suspend wait_blocked dm_(?:suspend|wait_for_completion|wait_for_bios_completion) raid\w*_quiesce
        md_flush_request blk_mq_freeze_queue _*mddev_detach blk_mq_quiesce _*blk_freeze dm_swap_table _*dm_destroy
    """),
    ("request", NodeKind.REQUEST, "block I/O", r"""
        blk_mq_get_tag bt_get _*blk_mq_(?:get_request|alloc_request) _*get_request rq_qos_wait _*wbt_wait
        blk_execute_rq submit_bio_wait blkdev_issue_ _*blkdev_direct_IO
        dio_await do_blockdev_direct_IO _*iomap_dio_rw xfs_buf_(?:iowait|delwri_submit) xfs_wait_buftarg _*submit_bh
        _*wait_on_buffer _*bread sync_dirty_buffer blk_mq_timeout_work bdev_\w*direct bio_await _*md_super_wait
        md_super_wait
    """),
    ("swap-in", NodeKind.PAGE, "a page from swap", r"do_swap_page|_*lock_page_or_retry|_*folio_lock_or_retry"),
    ("page-lock", NodeKind.PAGE, "a locked page", r"""
        _*lock_page _*folio_lock truncate_inode_pages invalidate_inode_pages
    """),
    ("page", NodeKind.PAGE, "a page under writeback", r"""
        wait_on_page_writeback folio_wait_writeback _*filemap_fdatawait wait_on_page_bit folio_wait_bit
        wait_on_page_(?:locked|read) filemap_write_and_wait
    """),
    ("flusher", NodeKind.WORK, "the flusher", r"wb_wait_for_completion"),
    ("work", NodeKind.WORK, "a work item", r"""
        _*flush_work _*flush_workqueue drain_workqueue _*cancel_(?:delayed_)?work
    """),
    ("rcu", NodeKind.PROCESSOR, "an RCU grace period", r"""
        _*synchronize_\w*rcu rcu_barrier _*synchronize_net _*wait_rcu_gp synchronize_sched
    """),
    ("gssd", NodeKind.SERVER, "rpc.gssd", r"gss_(?:cred_init|create_upcall|refresh_upcall|setup_context)"),
    ("automount", NodeKind.SERVER, "the automount daemon", r"autofs_wait"),
    ("fuse", NodeKind.SERVER, "a FUSE daemon", r"request_wait_answer|_*fuse_(?:simple_request|request_send|get_req)"),
    ("smb", NodeKind.REMOTE, "an SMB server", r"wait_for_response|compound_send_recv|cifs_send_recv|SendReceive"),
    ("ceph", NodeKind.REMOTE, "Ceph", r"ceph_(?:mdsc|osdc)_|rbd_(?:obj|img)_|ceph_wait"),
    ("9p", NodeKind.REMOTE, "a 9p server", r"p9_client_rpc"),
)  # fmt: skip
"""Resource, its kind, its label, and the functions that wait for it."""
_TABLE = tuple((key, kind, label, any_of(pattern)) for key, kind, label, pattern in _ROWS)
_LOCK = any_of(r"""
    _*(?:ww_|rt_)?mutex_lock _*rt_mutex rwsem_ call_rwsem _*down(?:_(?!interruptible$)|$) _*percpu_down percpu_rwsem
    rwbase_ _*lock_sock __mutex rtlock
""")
_DRIVERS = any_of(
    r"""
    raid(?:0|1|10|5|456)?_?\w* r[15](?:l|c|or|bio)_\w+ md_\w+ dm_\w+ wait_and_add_new_range writecache_\w+ _*loop_\w+
    lo_\w+ bch_\w+ cached_dev\w+ scsi_\w+ sd_\w+ nvme_\w+ ata_\w+ virtblk_\w+ wait_barrier
    _wait_barrier wait_read_barrier freeze_array sas_\w+ mpt\w+ qla\w+ zram_\w+ null_\w+
"""
    + " ".join(protocol.drivers for protocol in PROTOCOLS)
)
_DRIVER_MODULES = any_of(r"""
    raid\w+$ md_mod$ dm_\w+$ loop$ bcache$ scsi_\w+$ sd_mod$ nvme\w*$ libata$
    virtio_blk$ qla\w+$ mpt3sas$ megaraid\w*$ zram$ null_blk$
""" + " ".join(protocol.driver_modules for protocol in PROTOCOLS))  # fmt: skip
_IDLE = any_of(r"""
    worker_thread rescuer_thread kthreadd rcu_gp_kthread smpboot_thread kthread_worker_fn do_sys_poll do_select
    do_epoll_wait ep_poll futex_wait do_nanosleep do_wait sk_wait_data svc_recv pipe_(?:read|wait) kjournald2$ kswapd$
    kcompactd khugepaged inet_csk_accept do_sigtimedwait hub_event$
""")


def wait_of(task: Task) -> Wait | None:
    """The wait of `task`; None if it runs, is idle, or has no stack."""
    path = task.path
    if not path or (task.state == "R" and not _sleeps(path)):
        return None
    names = [step.name for step in path]
    function = blocked_in(names) or names[0]
    if task.state not in ("D", "", "R") or _IDLE.match(function):
        return None
    traits = traits_of(path)
    found = _row(path[: names.index(function) + DEPTH], names.index(function))
    if found is None:
        step = next((step for step in path if step.name == function), path[0])
        kind = NodeKind.LOCK if task.lock_kind else NodeKind.WORK
        return Wait(f"in:{function}", kind, f"something in {function}", step, function, traits, alike=False)
    key, kind, label, step = found
    if key == "lock":
        return _lock_wait(task, path, step, function, traits)
    return _refined(Wait(key, kind, label, step, function, traits), path)


def _sleeps(path: Sequence[Step]) -> bool:
    """Whether it is in the scheduler within an allocation that does not succeed; dumps show such a task as running."""
    names = [step.name for step in path[:6]]
    return names[0] in ("__schedule", "schedule") and any(name.startswith("__alloc_pages") for name in names)


def _row(path: Sequence[Step], function: int) -> tuple[str, NodeKind, str, Step] | None:
    """The first frame that matches a row; a driver's frame counts only up to `function`, the first non-primitive."""
    for place, step in enumerate(path):
        if _LOCK.match(step.name):
            return "lock", NodeKind.LOCK, "", step
        for key, kind, label, pattern in _TABLE:
            if pattern.match(step.name):
                return key, kind, label, step
        if place <= function and _is_driver(step):
            return f"driver:{step.module or step.name}", NodeKind.REQUEST, f"the block driver, in {step.name}", step
    return None


def _is_driver(step: Step) -> bool:
    if step.module:
        return _DRIVER_MODULES.match(step.module) is not None
    return _DRIVERS.match(step.name) is not None


def _lock_wait(task: Task, path: Sequence[Step], step: Step, function: str, traits: frozenset[Trait]) -> Wait:
    """The wait for a lock: named by lockdep if possible, else by the function that takes it."""
    frames = {one.name for one in path}
    last = task.held[-1] if task.held else None
    if last is not None and last.at in frames:
        return Wait(f"lock:{last.lock}{_address(last.address)}", NodeKind.LOCK, last.lock, step, function, traits)
    name, alike = lock_named([one.name for one in path], function)
    label = name or f"a lock that {function} takes"
    return Wait(f"lock:{name or function}", NodeKind.LOCK, label, step, function, traits, alike)


def _address(address: str) -> str:
    """A suffix that separates the locks of one class, which share a name; empty for a static lock."""
    return f"@{address}" if address and not address.startswith("ffffffff") else ""


def _refined(wait: Wait, path: Sequence[Step]) -> Wait:
    """The same wait, refined by frames further out on the stack."""
    key, label, kind = wait.key, wait.label, wait.kind
    swaps = Trait.SWAP_OUT in wait.traits and key in (
        "mempool",
        "request",
        "page",
        "page-lock",
        "memory",
        "rpc",
        "nfs-request",
    )
    if swaps:
        return Wait("swap", NodeKind.DEVICE, "swap", wait.step, wait.function, wait.traits)
    if key == "swap-in" or (Trait.SWAP_IN in wait.traits and key in ("page", "page-lock", "request")):
        return Wait("swap", NodeKind.DEVICE, "swap", wait.step, wait.function, wait.traits)
    if key in ("page", "page-lock") and Trait.NFS in wait.traits and Trait.RECLAIM not in wait.traits:
        return Wait(
            "nfs-request", NodeKind.PAGE, "write requests of the NFS client", wait.step, wait.function, wait.traits
        )
    if key in ("page", "page-lock") and Trait.RECLAIM in wait.traits:
        return Wait(
            "reclaimed-page",
            NodeKind.PAGE,
            "a page that reclaim wants to free",
            wait.step,
            wait.function,
            wait.traits,
            False,
        )
    if key == "rpc" and any(step.name.startswith("rpcb_") for step in path):
        return Wait("rpcbind", NodeKind.SERVER, "rpcbind", wait.step, wait.function, wait.traits)
    if key == "rpc" and Trait.NFSD in wait.traits and Trait.NFS not in wait.traits:
        return Wait("callback", NodeKind.RPC, "callbacks to an NFS client", wait.step, wait.function, wait.traits)
    if key == "mempool":
        return Wait("memory", NodeKind.MEMORY, "free memory", wait.step, wait.function, wait.traits)
    return Wait(key, kind, label, wait.step, wait.function, wait.traits, alike=key not in ("work", "page-lock"))
