"""Each class of hang, named from a dump that shows what it takes, and not named from one that does not."""

from __future__ import annotations

import pytest

from harness.diagnosis import Reader
from harness.model.diagnosis import Confidence, Diagnosis
from harness.model.hang_classes import HangClass

HIGH, MEDIUM, LOW = Confidence.HIGH, Confidence.MEDIUM, Confidence.LOW

SWAP_OUT = ("io_schedule_timeout", "mempool_alloc", "bio_alloc_bioset", "__swap_writepage", "pageout",
"shrink_folio_list",
            "shrink_lruvec", "shrink_node", "try_to_free_pages", "__alloc_pages_slowpath", "__alloc_pages")  # fmt: skip
RPC = ("rpc_wait_bit_killable [sunrpc]", "__wait_on_bit", "__rpc_execute [sunrpc]", "rpc_run_task [sunrpc]")
WRITE = ("vfs_write", "ksys_write", "do_syscall_64")
PING = (*RPC, "rpc_call_sync [sunrpc]", "rpc_create_xprt [sunrpc]", "rpc_create [sunrpc]")


def stack(*frames: str) -> str:
    """The lines of a stack, innermost frame first; `name [module]` names a module."""
    lines = ["Call Trace:", " <TASK>"]
    for frame in ("__schedule", "schedule", *frames):
        name, _, module = frame.partition(" ")
        lines.append(f" {name}+0x10/0x20 {module}".rstrip())
    return "\n".join([*lines, " </TASK>"])


def task(name: str, pid: int, *frames: str, state: str = "D", work: str = "") -> str:
    """A task as sysrq w and t print it."""
    head = f"task:{name:<15} state:{state} stack:0     pid:{pid}   ppid:2      flags:0x00004000"
    return "\n".join([head, *([f"Workqueue: {work}"] if work else []), stack(*frames)])


def hung(name: str, pid: int, *frames: str, seconds: int = 120) -> str:
    """A task as the hung-task watchdog prints it."""
    head = f"INFO: task {name}:{pid} blocked for more than {seconds} seconds.\n      Not tainted 6.1.0"
    return f"{head}\n{task(name, pid, *frames)}"


def read(*parts: str) -> Diagnosis | None:
    """The diagnosis of a console that holds these parts."""
    reader = Reader()
    reader.feed(("\n".join(parts) + "\n").encode())
    return reader.close()


def reported(*parts: str) -> tuple[HangClass, Confidence]:
    diagnosis = read(*parts)
    assert diagnosis is not None
    return diagnosis.hang_class, diagnosis.confidence


def test_a_console_where_nothing_hangs_has_no_diagnosis() -> None:
    idle = task("sshd", 80, "schedule_hrtimeout_range", "do_select", "core_sys_select", state="S")
    assert read("[    1.0] systemd[1]: Started sshd.", "nfs: server a not responding, still trying") is None
    assert read(idle) is None


def test_tasks_that_are_blocked_without_a_stack_are_unknown() -> None:
    diagnosis = read(
        "INFO: task jbd2/rbd0-8:801166 blocked for more than 120 seconds.", '"echo 0 > /proc/sys/kernel/hung"'
    )
    assert diagnosis is not None and diagnosis.hang_class is HangClass.UNKNOWN
    assert [cited.task for cited in diagnosis.evidence] == ["jbd2/rbd0-8:801166"]


class TestMemory:
    SERVER = task("nbd-server", 157, *SWAP_OUT, "copy_process")
    ADDED = "Adding 1051644k swap on /dev/nbd0.  Priority:-2 extents:1 across:1051644k"

    def test_a_server_that_frees_memory_by_swapping_to_itself_closes_the_circle(self) -> None:
        diagnosis = read(self.ADDED, task("thrash", 184, *SWAP_OUT), self.SERVER)
        assert diagnosis is not None
        assert (diagnosis.hang_class, diagnosis.confidence) == (HangClass.LOCAL_STORAGE_SERVER, MEDIUM)
        assert diagnosis.cycle == ("nbd-server:157", "memory", "swap")
        assert [edge.sure for edge in diagnosis.edges if edge.waiter == "swap"] == [False]

    def test_it_is_sure_where_the_host_is_seen_connected_to_itself(self) -> None:
        tcp = "   3: 0100007F:B342 0100007F:2A39 01 00000000:00000000 00:00000000 00000000     0        0 13101 1 0"
        assert reported(self.ADDED, tcp, self.SERVER) == (HangClass.LOCAL_STORAGE_SERVER, HIGH)

    def test_without_a_sign_of_a_client_on_the_host_it_is_a_guess(self) -> None:
        assert reported(task("thrash", 184, *SWAP_OUT), self.SERVER) == (HangClass.LOCAL_STORAGE_SERVER, LOW)

    def test_swap_on_a_local_disk_is_not_what_an_nbd_server_serves(self) -> None:
        local = "Adding 1051644k swap on /dev/sda2.  Priority:-2 extents:1 across:1051644k"
        assert reported(local, task("thrash", 184, *SWAP_OUT), self.SERVER) == (HangClass.LOCAL_STORAGE_SERVER, LOW)

    SENDER = task("kworker/1:1H", 42, "schedule_timeout", "__alloc_pages_slowpath", "__alloc_pages",
    "skb_page_frag_refill",
                  "tcp_sendmsg", "sock_sendmsg", "__sock_xmit [nbd]", "nbd_send_cmd [nbd]", "nbd_queue_rq [nbd]",
                  state="R  running task  ", work="kblockd blk_mq_run_work_fn")  # fmt: skip

    def test_a_send_that_waits_for_memory_closes_the_circle_of_swap_over_the_network(self) -> None:
        diagnosis = read(self.ADDED, task("kswapd0", 43, *SWAP_OUT), self.SENDER)
        assert diagnosis is not None
        assert (diagnosis.hang_class, diagnosis.confidence) == (HangClass.SWAP_OVER_NETWORK, HIGH)
        assert diagnosis.cycle == ("memory", "swap", "kworker/1:1H:42")
        assert any("7f338fe4540b" in remedy.commit for remedy in diagnosis.remedies)

    def test_without_the_name_of_the_swap_device_one_link_is_implied(self) -> None:
        assert reported(task("kswapd0", 43, *SWAP_OUT), self.SENDER) == (HangClass.SWAP_OVER_NETWORK, MEDIUM)

    def test_swap_over_the_network_alone_is_no_deadlock_yet(self) -> None:
        assert reported(self.ADDED, task("kswapd0", 43, *SWAP_OUT)) == (HangClass.SWAP_OVER_NETWORK, LOW)
        stuck = (
            "block nbd0: Possible stuck request 0000000010e7662e: control (write@134217728,4096B). Runtime 90 seconds"
        )
        assert reported(self.ADDED, task("kswapd0", 43, *SWAP_OUT), stuck) == (HangClass.SWAP_OVER_NETWORK, MEDIUM)

    def test_a_task_that_must_write_the_page_its_control_group_waits_for(self) -> None:
        frames = ("io_schedule", "wait_on_page_bit", "shrink_page_list", "shrink_inactive_list",
                  "try_to_free_mem_cgroup_pages", "mem_cgroup_reclaim", "kmem_cache_alloc", "xfs_trans_alloc [xfs]",
                  "xfs_map_blocks [xfs]", "write_cache_pages", "do_writepages")  # fmt: skip
        assert reported(hung("redis", 16, *frames)) == (HangClass.MEMCG_RECLAIM, MEDIUM)


class TestLoopbackNfs:
    DROP = task("sh", 900, *RPC, "nfs4_do_call_sync [nfsv4]", "_nfs4_proc_delegreturn [nfsv4]", "nfs4_evict_inode "
    "[nfsv4]",
                "evict", "prune_icache_sb", "super_cache_scan", "do_shrink_slab", "shrink_slab", "drop_slab",
                *WRITE)  # fmt: skip
    START = task("rpc.nfsd", 901, "rwsem_down_write_slowpath", "down_write", "register_shrinker", "nfsd_startup_net "
    "[nfsd]",
                 "nfsd_svc [nfsd]", "write_threads [nfsd]", *WRITE)  # fmt: skip

    def test_a_cache_shrinker_that_waits_for_an_nfsd_that_waits_for_shrinkers(self) -> None:
        diagnosis = read(self.DROP, self.START)
        assert diagnosis is not None
        assert (diagnosis.hang_class, diagnosis.confidence) == (HangClass.LOOPBACK_NFS_RECLAIM, MEDIUM)
        assert set(diagnosis.cycle) >= {"rpc", "lock:shrinker_rwsem", "rpc.nfsd:901"}
        assert any("ca1d36b82394" in remedy.commit for remedy in diagnosis.remedies)

    def test_an_nfsd_that_passes_on_requests_to_another_server_is_not_its_own_client(self) -> None:
        nfsd = task(
            "nfsd",
            70,
            *RPC,
            "nfs4_proc_getattr [nfsv4]",
            "nfs_getattr [nfs]",
            "nfsd4_encode_fattr [nfsd]",
            "nfsd [nfsd]",
        )
        diagnosis = read(nfsd)
        assert diagnosis is not None and diagnosis.hang_class is not HangClass.LOOPBACK_NFS_RECLAIM
        assert diagnosis.confidence is LOW

    def test_an_nfsd_that_frees_memory_over_its_own_client(self) -> None:
        nfsd = task("nfsd", 70, *RPC, "nfs_wb_page [nfs]", "nfs_release_page [nfs]", "shrink_page_list", "shrink_node",
                    "try_to_free_pages", "__alloc_pages", "nfsd_vfs_write [nfsd]", "nfsd [nfsd]")  # fmt: skip
        assert reported(nfsd, task("dd", 71, *RPC, "nfs_file_write [nfs]", *WRITE)) == (
            HangClass.LOOPBACK_NFS_RECLAIM,
            MEDIUM,
        )

    def test_an_nfsd_held_back_by_the_dirty_pages_of_its_own_client(self) -> None:
        nfsd = hung("nfsd", 70, "io_schedule_timeout", "balance_dirty_pages", "ext4_buffered_write_iter [ext4]",
                    "nfsd_vfs_write [nfsd]", "nfsd [nfsd]")  # fmt: skip
        flusher = hung(
            "kworker/u4:1", 9, *RPC, "nfs_commit_inode [nfs]", "nfs_writepages [nfs]", "do_writepages", "wb_workfn"
        )
        diagnosis = read(nfsd, flusher)
        assert diagnosis is not None and diagnosis.confidence is LOW
        assert set(diagnosis.cycle) == {"nfsd:70", "throttle", "rpc"}

    def test_a_client_without_a_server_on_the_host_is_none(self) -> None:
        diagnosis = read(self.DROP)
        assert diagnosis is not None and diagnosis.hang_class is not HangClass.LOOPBACK_NFS_RECLAIM


class TestFrozen:
    WRITER = ("percpu_rwsem_wait", "__percpu_down_read", *WRITE)
    """The compiler has put sb_start_write into vfs_write."""

    @pytest.mark.parametrize("frames", [
        WRITER,
        ("percpu_rwsem_wait", "__percpu_down_read", "sb_start_write", "mnt_want_write", "filename_create"),
        ("percpu_rwsem_wait", "__percpu_down_read", "mnt_want_write", "do_unlinkat"),
        ("percpu_rwsem_wait", "__percpu_down_read", "ext4_page_mkwrite [ext4]", "do_page_mkwrite"),
        ("rwsem_down_read_failed", "call_rwsem_down_read_failed", "__percpu_down_read", "__sb_start_write"),
    ])  # fmt: skip
    def test_writers_wait_and_nobody_thaws(self, frames: tuple[str, ...]) -> None:
        assert reported(task("dd", 7, *frames), task("steady", 8, *frames)) == (HangClass.FILESYSTEM_FROZEN, MEDIUM)

    def test_a_task_that_freezes_or_thaws_is_named_first(self) -> None:
        freezer = task("fsfreeze", 9, "percpu_down_write", "freeze_super", "do_vfs_ioctl")
        diagnosis = read(task("dd", 7, *self.WRITER), freezer)
        assert diagnosis is not None
        assert (diagnosis.hang_class, diagnosis.confidence) == (HangClass.FILESYSTEM_FROZEN, LOW)
        assert "fsfreeze:9 (freeze_super)" in diagnosis.title

    def test_one_writer_among_many_that_wait_for_something_else_explains_little(self) -> None:
        others = [task("cp", 20 + n, "some_fs_wait") for n in range(5)]
        assert reported(task("dd", 7, *self.WRITER), *others)[1] is LOW

    @pytest.mark.parametrize("frames", [
        ("percpu_rwsem_wait", "__percpu_down_read", "cgroup_can_fork", "copy_process"),
        ("percpu_rwsem_wait", "__percpu_down_read", "ext4_writepages [ext4]", "do_writepages"),
        ("__mutex_lock", "vfs_write", "ksys_write"),
    ])  # fmt: skip
    def test_another_lock_is_not_freeze_protection(self, frames: tuple[str, ...]) -> None:
        assert reported(task("dd", 7, *frames))[0] is not HangClass.FILESYSTEM_FROZEN

    def test_locks_that_lockdep_names_are_the_same_protection(self) -> None:
        held = "1 lock held by dd/7:\n #0: ffff888012345678 (sb_writers#3){.+.+}-{0:0}, at: vfs_write+0x1/0x2"
        assert reported(task("dd", 7, *self.WRITER), held) == (HangClass.FILESYSTEM_FROZEN, MEDIUM)


class TestStorage:
    def test_a_server_that_the_kernel_calls_silent(self) -> None:
        silent = "nfs: server 10.0.0.1 not responding, still trying"
        ls = task("ls", 5, *RPC, "nfs4_proc_getattr [nfsv4]", "nfs_getattr [nfs]")
        assert reported(silent, ls) == (HangClass.NFS_SERVER_UNREACHABLE, MEDIUM)
        assert reported(ls) == (HangClass.NFS_SERVER_UNREACHABLE, LOW)
        assert reported(silent, "nfs: server 10.0.0.1 OK", ls) == (HangClass.NFS_SERVER_UNREACHABLE, LOW)

    def test_a_call_that_needs_no_session_waits_for_nothing_but_the_server(self) -> None:
        first = task(
            "mount.nfs", 10, *PING, "nfs_create_rpc_client [nfs]", "nfs4_init_client [nfsv4]", "nfs_get_client [nfs]"
        )
        second = task(
            "mount.nfs", 11, "nfs_wait_client_init_complete [nfs]", "nfs_match_client [nfs]", "nfs_get_client [nfs]"
        )
        diagnosis = read(first, second)
        assert diagnosis is not None
        assert (diagnosis.hang_class, diagnosis.confidence) == (HangClass.NFS_SERVER_UNREACHABLE, MEDIUM)
        edges = {(edge.waiter, edge.awaited) for edge in diagnosis.edges}
        assert {("mount.nfs:11", "nfs-init"), ("nfs-init", "mount.nfs:10"), ("mount.nfs:10", "rpc")} <= edges

    def test_pages_of_nfs_that_stay_under_writeback_are_not_yet_a_silent_server(self) -> None:
        writer = task(
            "job", 3, "io_schedule", "wait_on_page_bit_common", "__filemap_fdatawait_range", "nfs_file_fsync [nfs]"
        )
        assert reported(writer)[0] is HangClass.UNKNOWN

    BIO = (
        "io_schedule",
        "blk_mq_get_tag",
        "__blk_mq_alloc_requests",
        "blk_mq_submit_bio",
        "submit_bio",
        "ext4_io_submit [ext4]",
    )

    def test_block_requests_that_do_not_complete_for_minutes(self) -> None:
        assert reported(hung("kworker/u4:1", 9, *self.BIO)) == (HangClass.BLOCK_REQUEST_STUCK, MEDIUM)
        assert reported(task("kworker/u4:1", 9, *self.BIO)) == (HangClass.BLOCK_REQUEST_STUCK, LOW)

    def test_a_wait_inside_a_block_driver_names_its_frame(self) -> None:
        diagnosis = read(hung("kworker/1:2", 4661, "io_schedule", "wait_and_add_new_range [dm_integrity]",
                              "dm_integrity_map_continue [dm_integrity]", "process_one_work"))  # fmt: skip
        assert diagnosis is not None and diagnosis.hang_class is HangClass.BLOCK_REQUEST_STUCK
        assert "wait_and_add_new_range" in diagnosis.title
        assert any("4ed319c6ac08" in remedy.commit for remedy in diagnosis.remedies)

    def test_a_device_is_not_why_where_as_many_wait_for_a_lock(self) -> None:
        other = hung(
            "kworker/u8:2", 1, "rwsem_down_write_slowpath", "down_write", "dm_pool_commit_metadata [dm_thin_pool]"
        )
        assert reported(hung("dd", 2, "submit_bio_wait", "blkdev_issue_discard"), other) == (
            HangClass.BLOCK_REQUEST_STUCK,
            LOW,
        )

    def test_a_lost_connection_is_a_sign_of_its_device(self) -> None:
        reader = task("dd", 1, "io_schedule", "bit_wait_io", "__wait_on_bit", "__lock_page", "blkdev_readpage")
        assert reported(reader, "block nbd0: Connection timed out") == (HangClass.BLOCK_REQUEST_STUCK, MEDIUM)

    def test_a_loop_device_leads_on_to_its_worker(self) -> None:
        user = hung("dd", 5, "submit_bio_wait", "blkdev_issue_flush", "blkdev_fsync")
        worker = hung("loop0", 6, "wait_for_completion", "some_fs_wait", "loop_process_work [loop]")
        diagnosis = read(user, worker)
        assert diagnosis is not None and diagnosis.hang_class is HangClass.UNKNOWN
        assert ("request", "loop0:6") in {(edge.waiter, edge.awaited) for edge in diagnosis.edges}

    def test_a_queue_that_is_frozen_is_not_a_request_that_is_stuck(self) -> None:
        frozen = hung("udev", 7, "blk_mq_freeze_queue_wait", "queue_attr_store", "sysfs_kf_write")
        assert reported(frozen) == (HangClass.BLOCK_REQUEST_STUCK, LOW)

    def test_a_call_to_the_local_rpcbind_is_not_one_to_an_nfs_server(self) -> None:
        assert (
            reported(task("rpc.nfsd", 7, *PING, "rpcb_register [sunrpc]", "svc_unregister [sunrpc]"))[0]
            is HangClass.UNKNOWN
        )

    THROTTLED = ("schedule_timeout", "io_schedule_timeout", "balance_dirty_pages", "generic_perform_write", *WRITE)

    def test_one_look_at_writers_and_a_busy_flusher_is_slow_and_not_stuck(self) -> None:
        flusher = task("kworker/u4:1", 9, *self.BIO, "ext4_writepages [ext4]", "do_writepages", "wb_workfn")
        assert reported(flusher, task("tar", 50, *self.THROTTLED)) == (HangClass.SLOW_NOT_STUCK, LOW)

    def test_writers_held_back_for_minutes(self) -> None:
        assert reported(hung("tar", 50, *self.THROTTLED)) == (HangClass.THROTTLED_WRITERS, MEDIUM)

    def test_tasks_whose_stacks_differ_from_dump_to_dump_move(self) -> None:
        other = (
            "io_schedule",
            "folio_wait_bit_common",
            "folio_wait_writeback",
            "__filemap_fdatawait_range",
            "file_write_and_wait_range",
        )
        assert reported(task("tar", 50, *self.BIO), task("tar", 50, *other)) == (HangClass.SLOW_NOT_STUCK, MEDIUM)

    def test_memory_that_a_task_polls_for_is_unknown(self) -> None:
        assert (
            reported(task("tar", 2492, "congestion_wait", "xfs_buf_alloc_pages", "xfs_buf_get_map"))[0]
            is HangClass.UNKNOWN
        )


class TestJournals:
    COMMIT = hung("jbd2/sda1-8", 88, "jbd2_journal_commit_transaction [jbd2]", "kjournald2 [jbd2]", "kthread")
    START = hung("touch", 90, "wait_transaction_locked [jbd2]", "add_transaction_credits [jbd2]", "start_this_handle "
    "[jbd2]",
                 "jbd2__journal_start [jbd2]", "ext4_create [ext4]")  # fmt: skip

    def test_a_commit_that_waits_for_a_handle_whose_task_waits_for_the_commit(self) -> None:
        holder = hung("rm", 91, "wait_for_completion", "something_slow", "ext4_mark_iloc_dirty [ext4]",
                      "ext4_reserve_inode_write [ext4]", "ext4_evict_inode [ext4]")  # fmt: skip
        diagnosis = read(self.COMMIT, self.START, holder)
        assert diagnosis is not None
        assert (diagnosis.hang_class, diagnosis.confidence) == (HangClass.JOURNAL_COMMIT_STUCK, MEDIUM)
        edges = {(edge.waiter, edge.awaited) for edge in diagnosis.edges}
        assert {
            ("touch:90", "journal"),
            ("journal", "jbd2/sda1-8:88"),
            ("jbd2/sda1-8:88", "handles"),
            ("handles", "rm:91"),
        } <= edges

    def test_a_device_in_trouble_may_be_why_a_handle_stays_open(self) -> None:
        assert reported(self.COMMIT)[1] is MEDIUM
        assert reported("hpsa 0000:05:00.0: resetting device 2:0:0:1", self.COMMIT)[1] is LOW

    def test_a_journal_whose_own_thread_is_not_shown(self) -> None:
        assert reported(self.START) == (HangClass.JOURNAL_COMMIT_STUCK, LOW)

    def test_a_handle_held_open_by_a_task_in_reclaim(self) -> None:
        frames = (*SWAP_OUT, "jbd2_alloc [jbd2]", "do_get_write_access [jbd2]", "ext4_reserve_inode_write [ext4]")
        diagnosis = read(stack(*frames))
        assert diagnosis is not None
        assert (diagnosis.hang_class, diagnosis.confidence) == (HangClass.JOURNAL_COMMIT_STUCK, LOW)


class TestLocks:
    def test_the_kernel_names_the_owner_and_the_owner_waits_back(self) -> None:
        one = (
            hung("a", 1, "__mutex_lock", "first_fn")
            + "\nINFO: task a:1 is blocked on a mutex likely owned by task b:2."
        )
        two = (
            hung("b", 2, "__mutex_lock", "second_fn")
            + "\nINFO: task b:2 is blocked on a mutex likely owned by task a:1."
        )
        diagnosis = read(one, two)
        assert diagnosis is not None
        assert (diagnosis.hang_class, diagnosis.confidence) == (HangClass.LOCK_HOLDER_WAITS, HIGH)
        assert set(diagnosis.cycle) == {"a:1", "lock:first_fn", "b:2", "lock:second_fn"}
        assert {cited.task for cited in diagnosis.evidence} == {"a:1", "b:2"}

    LOCKDEP = """
Showing all locks held in the system:
2 locks held by a/1:
 #0: ffff888111111111 (&x->first){+.+.}-{3:3}, at: outer_fn+0x10/0x20
 #1: ffff888222222222 (&x->second){+.+.}-{3:3}, at: inner_fn+0x10/0x20
2 locks held by b/2:
 #0: ffff888222222222 (&x->second){+.+.}-{3:3}, at: other_fn+0x10/0x20
 #1: ffff888111111111 (&x->first){+.+.}-{3:3}, at: wanting_fn+0x10/0x20
"""

    def test_lockdep_lists_the_holders(self) -> None:
        tasks = (
            hung("a", 1, "__mutex_lock", "inner_fn", "outer_fn"),
            hung("b", 2, "__mutex_lock", "wanting_fn", "other_fn"),
        )
        assert reported(*tasks, self.LOCKDEP) == (HangClass.LOCK_HOLDER_WAITS, HIGH)

    def test_locks_of_one_class_are_not_one_lock(self) -> None:
        others = self.LOCKDEP.replace("#0: ffff888222222222", "#0: ffff888333333333")
        tasks = (
            hung("a", 1, "__mutex_lock", "inner_fn", "outer_fn"),
            hung("b", 2, "__mutex_lock", "wanting_fn", "other_fn"),
        )
        diagnosis = read(*tasks, others)
        assert diagnosis is not None and not diagnosis.cycle

    def test_a_lock_whose_holder_is_not_shown_is_unknown(self) -> None:
        waiters = [
            hung("nfsd", pid, "rwsem_down_write_slowpath", "ext4_buffered_write_iter [ext4]") for pid in (1, 2, 3)
        ]
        diagnosis = read(*waiters)
        assert diagnosis is not None and diagnosis.hang_class is HangClass.UNKNOWN
        assert [node.count for node in diagnosis.nodes if node.kind == "task"] == [3]

    def test_a_lock_behind_block_io_leads_to_the_block_layer(self) -> None:
        flush = hung("kworker/40:1", 18, "raid5_get_active_stripe [raid456]", "raid5_make_request [raid456]",
                     "writecache_flush [dm_writecache]", "writecache_flush_work [dm_writecache]")  # fmt: skip
        find = hung("find", 19, "__mutex_lock", "writecache_map [dm_writecache]", "dm_submit_bio [dm_mod]")
        diagnosis = read(flush, find)
        assert diagnosis is not None
        assert diagnosis.hang_class is HangClass.BLOCK_REQUEST_STUCK
        assert ("lock:wc_lock", "kworker/40:1:18") in {(edge.waiter, edge.awaited) for edge in diagnosis.edges}


class TestProcessors:
    SOFT = (
        "watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [nfsd:2002]\nCPU: 0 PID: 2002 Comm: nfsd Not tainted 5.5.0"
    )

    def test_a_soft_lockup_names_its_loop(self) -> None:
        trace = "\n".join(
            ["RIP: 0010:inner_loop+0xc/0x28", "Call Trace:", " outer_loop+0x1/0x2", " ksys_ioctl+0x1/0x2"]
        )
        assert reported(self.SOFT, trace) == (HangClass.PROCESSOR_STUCK, HIGH)
        assert reported(self.SOFT) == (HangClass.PROCESSOR_STUCK, LOW)

    def test_an_rcu_stall_shows_the_task_that_runs(self) -> None:
        report = """rcu: INFO: rcu_sched detected stalls on CPUs/tasks:
(detected by 0, t=125002 jiffies, g=15654, c=15653, q=133)
task:spinner         state:R  running task     stack:24936 pid:11943 ppid:3739   flags:0x0000000c
Call Trace:
 loop_for_ever+0x1/0x2
 ksys_ioctl+0x1/0x2
"""
        diagnosis = read(report)
        assert diagnosis is not None
        assert (diagnosis.hang_class, diagnosis.confidence) == (HangClass.PROCESSOR_STUCK, MEDIUM)
        assert "spinner:11943" in diagnosis.title and "loop_for_ever" in diagnosis.title
        assert "reports an RCU stall" in diagnosis.explanation

    def test_a_stall_after_the_tasks_had_blocked_is_not_why(self) -> None:
        trace = "\n".join(
            ["RIP: 0010:inner_loop+0xc/0x28", "Call Trace:", " outer_loop+0x1/0x2", " ksys_ioctl+0x1/0x2"]
        )
        before = hung("nfsd", 1, "rwsem_down_write_slowpath", "ext4_buffered_write_iter [ext4]")
        assert reported(before, self.SOFT, trace)[1] is LOW

    HUNG_POOL = """
Showing busy workqueues and worker pools:
workqueue events: flags=0x0
  pwq 2: cpus=1 node=0 flags=0x0 nice=0 active=2/256 refcnt=5
    pending: refresh_vm_stats BAR(115), free_work
workqueue mine: flags=0x0
  pwq 2: cpus=1 node=0 flags=0x0 nice=0 active=1/256 refcnt=4
    in-flight: 22:hog [mine]
pool 2: cpus=1 node=0 flags=0x0 nice=0 hung=55s workers=3 idle: 52 34
"""

    def test_a_pool_that_takes_up_no_work_is_named_without_the_watchdog(self) -> None:
        waiters = task("a", 115, "__flush_work", "schedule_on_each_cpu", "vmstat_refresh")
        writer = task("dd", 173, "io_schedule", "__iomap_dio_rw", "blkdev_write_iter")
        diagnosis = read(waiters, writer, self.HUNG_POOL)
        assert diagnosis is not None
        assert (diagnosis.hang_class, diagnosis.confidence) == (HangClass.WORKQUEUE_STARVATION, MEDIUM)
        assert "55 s" in diagnosis.title and "hog (22)" in diagnosis.title

    @pytest.mark.parametrize(
        ("old", "new"), [("hung=55s", "hung=4s"), ("    pending: refresh_vm_stats BAR(115), free_work\n", "")]
    )
    def test_a_pool_that_is_only_busy_is_not_stuck(self, old: str, new: str) -> None:
        assert old in self.HUNG_POOL
        assert read(self.HUNG_POOL.replace(old, new)) is None

    QUEUE = """
Showing busy workqueues and worker pools:
workqueue loop: flags=0xc
  pwq 2: cpus=1 node=0 flags=0x0 nice=0 active=2/2 refcnt=4
    in-flight: 5511:loop_rootcg_workfn [loop], 5409:loop_rootcg_workfn [loop]
    inactive: loop_workfn [loop]
pool 2: cpus=1 node=0 flags=0x0 nice=0 hung=27s workers=3 idle: 5526
"""

    def test_a_full_workqueue_whose_workers_wait_for_queued_work(self) -> None:
        worker = task("kworker/1:251", 5511, "submit_bio_wait", "blkdev_issue_flush", "loop_process_work [loop]")
        diagnosis = read(worker, self.QUEUE)
        assert diagnosis is not None
        assert (diagnosis.hang_class, diagnosis.confidence) == (HangClass.WORKQUEUE_STARVATION, MEDIUM)
        assert set(diagnosis.cycle) == {"slot:loop", "kworker/1:251:5511", "request"}

    def test_a_workqueue_that_is_not_full_starves_nobody(self) -> None:
        worker = task("kworker/1:251", 5511, "submit_bio_wait", "blkdev_issue_flush", "loop_process_work [loop]")
        assert reported(worker, self.QUEUE.replace("2/2", "2/256"))[0] is HangClass.BLOCK_REQUEST_STUCK

    def test_a_pool_behind_work_that_does_not_end(self) -> None:
        lockup = """
BUG: workqueue lockup - pool cpus=10 node=1 flags=0x0 nice=-20 stuck for 35s!
Showing busy workqueues and worker pools:
workqueue kblockd: flags=0x18
  pwq 21: cpus=10 node=1 flags=0x0 nice=-20 active=3/256 refcnt=4
    in-flight: 1020:blk_mq_run_work_fn
    pending: blk_mq_timeout_work, blk_mq_run_work_fn
pool 21: cpus=10 node=1 flags=0x0 nice=-20 hung=35s workers=2 idle: 67
"""
        diagnosis = read(lockup)
        assert diagnosis is not None
        assert (diagnosis.hang_class, diagnosis.confidence) == (HangClass.WORKQUEUE_STARVATION, MEDIUM)
        assert "blk_mq_run_work_fn" in diagnosis.title
