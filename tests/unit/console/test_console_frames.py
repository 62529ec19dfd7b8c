"""Stack frames of several architectures, and the function a stack is blamed on."""

from __future__ import annotations

import pytest

from harness.verdicts.console.blame import asked_in, blocked_in, broke_in, stalled_in
from harness.verdicts.console.frames import Frame, frame_in, plain_name, register_frame, trace_start


@pytest.mark.parametrize(
    ("text", "frame"),
    [
        (" schedule+0x46/0xa0", Frame("schedule")),
        ("  ? find_held_lock+0x35/0x1d0", Frame("find_held_lock", sure=False)),
        (" [<ffffffff82a9df9c>] schedule+0x7c/0x1b0", Frame("schedule")),
        (" [<ffffffff82aae250>] ? usleep_range+0x130/0x130", Frame("usleep_range", sure=False)),
        (" nfs_file_fsync+0x44/0x1e0 [nfs]", Frame("nfs_file_fsync")),
        (" <IRQ>  [<ffffffffa4bb0554>] dump_stack+0x45/0x6c", Frame("dump_stack")),
        ("[<80c1eb20>] (schedule) from [<80c1ec14>] (io_schedule+0x48/0x6c)", Frame("schedule", caller="io_schedule")),
        (" show_stack from warn_alloc+0xa0/0x150", Frame("show_stack", caller="warn_alloc")),
        ("[c000000012] [c0000000001a2b3c] schedule+0x40/0xd0", Frame("schedule")),
        (" ops_exit_list.isra.0+0xaa/0x150", Frame("ops_exit_list")),
        ("[c000000012] [c0000000001a2b3c] schedule+0x40/0xd0 (unreliable)", Frame("schedule", sure=False)),
        ("[c000000012] [c0000000001a2b3c] nbd_xmit+0x40/0xd0 [nbd] (unreliable)", Frame("nbd_xmit", sure=False)),
        (" [<000000000012a3b4>] __schedule+0x30e/0xa78", Frame("__schedule")),
        ("([<000000000012a3b4>] __schedule+0x30e/0xa78)", Frame("__schedule", sure=False)),
        ("[<ffffffff80a1b2c4>] schedule+0x44/0xb4", Frame("schedule")),
        ("[<0>] nfs_wait_bit+0x1/0x2 [nfs]", Frame("nfs_wait_bit")),
        (" do_one fs/x.c:12 [inline]", Frame("do_one")),
        ("RIP: 0033:0x4512c9", None),
        ("hardirqs last  enabled at (41): [<00000000f1ec093f>] foo+0x1/0x2", None),
        ("Code: 48 89 df e8", None),
        ("", None),
    ],
)
def test_frame(text: str, frame: Frame | None) -> None:
    assert frame_in(text) == frame


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("RIP: 0010:d_walk+0x840/0xc80", "d_walk"),
        ("RIP: 0010:[<ffffffff81c66ccf>]  [<ffffffff81c66ccf>] d_walk+0x840/0xc80", "d_walk"),
        ("pc : update_cpu_capabilities+0x0/0x3c0", "update_cpu_capabilities"),
        ("PC is at memset+0x30/0xa8", "memset"),
        ("epc : wait_for_sqe+0x1e/0x40 ra : io_wait+0x12/0x20", "wait_for_sqe"),
        ("NIP [c00000000001a2b4] plpar_hcall+0x38/0x58", "plpar_hcall"),
        ("RIP: 0033:0x455777", None),
    ],
)
def test_program_counter(text: str, name: str | None) -> None:
    frame = register_frame(text)
    assert (frame.name if frame else None) == name


def test_trace_start() -> None:
    assert trace_start("Call Trace:")
    assert trace_start("Call trace:")
    assert trace_start("Backtrace: ")
    assert not trace_start("Calling tracer")


def test_plain_name_drops_what_the_compiler_added() -> None:
    assert plain_name("print_cpu_stall.cold.78") == "print_cpu_stall"
    assert plain_name("el0_svc_common.constprop.0") == "el0_svc_common"
    assert plain_name("cpu.part.1.isra.2") == "cpu"
    assert plain_name("memcpy") == "memcpy"


@pytest.mark.parametrize(
    ("stack", "function"),
    [
        ("__schedule schedule schedule_timeout __down down console_lock console_device tty_open", "console_device"),
        ("__schedule schedule schedule_preempt_disabled __mutex_lock mutex_lock_nested rtnl_lock tipc_net_stop",
         "rtnl_lock"),
        ("__schedule schedule io_schedule wait_on_page_bit_common __lock_page mpage_prepare_extent_to_map",
         "mpage_prepare_extent_to_map"),
        ("__schedule schedule rwsem_down_write_slowpath down_write alloc_shrinker_info", "alloc_shrinker_info"),
        ("__schedule schedule io_schedule wbt_wait __swap_writepage", "wbt_wait"),
        ("__schedule schedule rpc_wait_bit_killable __wait_on_bit out_of_line_wait_on_bit __rpc_execute",
         "__rpc_execute"),
        ("__schedule schedule schedule_timeout wait_for_completion __synchronize_srcu", "__synchronize_srcu"),
        ("__schedule schedule nfsd4_shutdown_callback", "nfsd4_shutdown_callback"),
        ("__schedule schedule schedule_timeout wait_for_completion __flush_work __cancel_work_timer"
         " cancel_delayed_work_sync nbd_release", "nbd_release"),
        ("__schedule schedule io_schedule folio_wait_bit_common __folio_lock __filemap_get_folio ext4_write_begin",
         "ext4_write_begin"),
        ("__schedule schedule rt_mutex_schedule rt_mutex_slowlock_block.constprop __rt_mutex_slowlock mutex_lock"
         " nfs_release", "nfs_release"),
        ("__schedule schedule rwsem_down_read_failed call_rwsem_down_read_failed down_read xfs_ilock", "xfs_ilock"),
        ("__schedule schedule rwbase_write_lock down_write xfs_ilock", "xfs_ilock"),
        ("__switch_to __schedule schedule blk_io_schedule blkdev_direct_IO", "blkdev_direct_IO"),
        ("__schedule schedule do_nanosleep hrtimer_nanosleep msleep scsi_remove_host", "scsi_remove_host"),
        ("__schedule schedule schedule_timeout wait_for_completion __wait_rcu_gp synchronize_rcu_normal",
         "synchronize_rcu_normal"),
        ("__schedule schedule schedule_timeout wait_rcu_gp synchronize_sched", "synchronize_sched"),
        ("__schedule schedule jbd2_log_wait_commit ext4_sync_file", "jbd2_log_wait_commit"),
        ("__schedule schedule usb_kill_urb usb_kill_anchored_urbs ld_usb_abort", "ld_usb_abort"),
        ("__schedule schedule", None),
        ("", None),
    ],
)  # fmt: skip
def test_a_blocked_task_is_blamed_on_what_it_waits_for(stack: str, function: str | None) -> None:
    assert blocked_in(stack.split()) == function


@pytest.mark.parametrize(
    ("stack", "function"),
    [
        ("mulaw_decode snd_pcm_oss_write __vfs_write vfs_write SyS_write do_fast_syscall_32", "snd_pcm_oss_write"),
        ("dump_stack nmi_cpu_backtrace rcu_check_callbacks hrtimer_interrupt smp_apic_timer_interrupt"
         " apic_timer_interrupt copy snd_seq_write __vfs_write", "snd_seq_write"),
        ("loop fuse_put_super __cleanup_mnt task_work_run do_syscall_64", "__cleanup_mnt"),
        ("helper beacon __hrtimer_run_queues hrtimer_run_softirq __do_softirq", "beacon"),
        ("clear_page shmem_fault __do_fault exc_page_fault asm_exc_page_fault", "shmem_fault"),
        ("clear_page do_anonymous_page handle_mm_fault exc_page_fault asm_exc_page_fault", "handle_mm_fault"),
        ("_raw_spin_lock qla_abort qla_remove", "qla_abort"),
        ("work_loop sys_rmdir do_trap_ecall_u", "sys_rmdir"),
        ("rcu_sched_clock_irq update_process_times tick_sched_timer riscv_timer_interrupt handle_percpu_devid_irq"
         " riscv_intc_irq handle_riscv_irq spin_here mod_init do_one_initcall", "mod_init"),
        ("spin_here netlink_setsockopt kernel_setsockopt ovs_work", "netlink_setsockopt"),
        ("copy blk_loop bio_work blkdev_ioctl vfs_ioctl", "bio_work"),
        ("", None),
    ],
)  # fmt: skip
def test_a_stalled_processor_is_blamed_on_the_outermost_frame_of_its_work(stack: str, function: str | None) -> None:
    assert stalled_in(stack.split()) == function


def test_a_crash_is_blamed_on_the_first_frame_that_is_not_reporting() -> None:
    assert broke_in(["dump_stack", "panic", "__warn", "nfs_release_page", "shrink_page_list"]) == "nfs_release_page"
    assert broke_in(["dump_stack"]) is None


def test_memory_that_ran_out_is_blamed_on_who_asked() -> None:
    stack = ["dump_stack", "warn_alloc", "__alloc_pages", "____cache_alloc", "kmem_cache_alloc", "nfs_writehdr_alloc"]
    assert asked_in(stack) == "nfs_writehdr_alloc"
