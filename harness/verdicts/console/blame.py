"""Which function of a stack a finding is about.

- Blocked task, or processor that spins with interrupts off: the first frame below the scheduler and the lock and wait
  primitives.
- Stalled processor: the last frame before generic dispatch code (system call, softirq, timer, worker). The innermost
  frame is a random place in the loop; this one is the same in every sample.
- Crash: the innermost frame that is not reporting code.
- Out of memory: the function that asked for memory.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["asked_in", "blocked_in", "broke_in", "stalled_in"]

_NAMES_ITS_LOCK = re.compile(r"rtnl_(?:nets?_)?lock")
_PRIMITIVE = re.compile(
    # the scheduler
    r"_*schedule|(?:blk_)?io_schedule|freezable_schedule|context_switch$|__switch_to|preempt_schedule|_*cond_resched"
    r"|sched_|ret_from_|_*refrigerator|_*msleep|usleep_|fsleep|(?:do_|hrtimer_)nanosleep|do_notify_resume$"
    # locks
    r"|_*(?:raw_|ww_|rt_)?mutex_|_*rt_mutex|_*(?:call_)?rwsem_|_*rwbase_|_*down(?:_|$)|_*up(?:_|$)|_*rtlock_|_*percpu_down"
    r"|_*rt_(?:read|write|down|up|spin)_|_*percpu_rwsem|_*raw_(?:spin|read|write)_|_*(?:spin|read|write)_lock|(?:native_|pv_)?queued_|ldsem_|osq_"
    r"|do_raw_|_*lock_(?!d)|_*folio_lock|\w{0,64}slowlock"
    r"|\w{1,64}_lock(?:_nested|_killable|_interruptible|_slowpath|_slow|_common|_irq\w{0,16}|_bh)?$"
    # waits for a condition of the caller
    r"|_*(?:bit_)?wait_(?!for_device|answer)|wait_woken|out_of_line_wait|_*folio_wait_|_*wait$|_*do_wait_"
    r"|_*var_wait|\w{0,64}fdatawait|prepare_to_|finish_wait|kthread_|rpc_wait_bit|swait_|rcuwait_|__wait_rcu_gp"
    r"|usb_start_wait_urb$|usb_(?:control|bulk|interrupt)_msg|usb_kill_(?:anchored_)?urb"
    # waits for the caller's work, timer or page
    r"|_*flush_(?:delayed_)?work(?:$|queue)|_*drain_workqueue|destroy_workqueue|_*cancel_(?:delayed_)?work|_*cancel_work_"
    r"|_*(?:try_to_)?del_timer|_*timer_delete_sync|hrtimer_cancel|work_on_cpu|schedule_on_each_cpu"
    r"|_*filemap_get_folio|pagecache_get_page|find_lock_(?!task)|find_or_create_page|grab_cache_page"
    r"|(?:do_)?read_cache_(?:page|folio)|truncate_inode_pages_range$"
    # generic layers that lock an object of the caller
    r"|device_(?:add|del|unregister|destroy)$"
)
_REPORTING = re.compile(
    r"_*dump_stack|show_(?:stack|regs|trace)|panic$|_*warn|report_bug|fixup_bug|_*kasan|kmsan|kfence|_*ubsan|__[akmh]w?[acs]*san"
    r"|print_|end_report|check_memory_region|handle_(?:bug|exception)|(?:asm_)?exc_|do_(?:error_)?trap|do_invalid_op|invalid_op"
    r"|do_general|general_prot|_*(?:do_)?page_fault|no_context|_*bad_area|die|oops_|do_kern_addr|unwind_backtrace|do_mem_abort"
    r"|el1|refcount_|debug_(?:print_)?object|debug_check_no|__list_(?:add|del)_|rust_helper_BUG|_*usercopy|__check_object_size"
    r"|stack_trace_|save_stack|mem(?:cpy|set|move|cmp)$|__might_|_*lockdep_|__stack_chk|sysrq_|__handle_sysrq|warn_alloc"
    r"|out_of_memory|oom_kill|dump_header"
)
_ALLOCATOR = re.compile(
    r"warn_alloc|_*alloc_pages?|alloc_pages|_*get_free_page|get_zeroed_page|get_page_from|_*kmem_cache_alloc|_*kmalloc|kv?malloc"
    r"|krealloc|_*slab_alloc|new_slab|allocate_slab|cache_(?:grow|alloc)|_*cache_alloc|fallback_alloc|_*folio_alloc|vma_alloc"
    r"|_*vmalloc|mempool_alloc|oom_kill|dump_header|out_of_memory|mem_cgroup_|try_charge|_*mem_cgroup|pagefault_out_of_memory"
)
_NOTICED = re.compile(
    r"rcu_check_callbacks|rcu_sched_clock_irq|rcu_pending|update_process_times|watchdog_timer_fn|watchdog_overflow"
    r"|nmi_cpu_backtrace|print_(?:other_)?cpu_stall|check_cpu_stall|sched_show_task|rcu_dump_cpu_stacks|dump_cpu_task"
    r"|sched_tick|scheduler_tick|tick_sched_(?:handle|timer)|tick_nohz_handler|tick_handle_periodic"
)
_INTERRUPT = re.compile(
    r"\w{0,64}(?:apic_timer_interrupt|call_function_single_interrupt|common_interrupt)|call_on_(?:irq_)?stack|asm_call_"
    r"|do_interrupt_handler|generic_handle|handle_(?:domain_irq|irq|percpu)|__handle_(?:domain_)?irq|gic_handle|arch_timer_handler"
    r"|el1_irq|el1h?_|el1_interrupt|__irq_svc|__irq_entry|instr_sysvec|timer_interrupt|do_IRQ|ret_from_intr|irq_interrupt"
    # riscv, s390, powerpc
    r"|handle_riscv_irq|riscv_(?:intc_irq|timer_interrupt)|do_irq|(?:do_)?(?:ext|io)_(?:irq|int_handler)|do_irq_async"
    r"|clock_comparator|_*do_irq|(?:decrementer|hardware_interrupt|performance_monitor)_common|interrupt_return"
    r"|replay_soft_interrupts"
)
_CALL = r"(?:_*(?:ksys|vfs|do_vfs|se_sys|x64_sys|ia32_sys|arm64_sys|SyS|SYSC|sys|do_sys|compat_sys|compat_SyS|C_SYSC)_)"
_DISPATCH = re.compile(
    # system call entry, and system calls for every kind of file
    r"_*do_syscall|entry_|el0|do_el0|_*invoke_syscall|do_fast_syscall|do_int80|system_call|ret_fast_syscall|tracesys|sysenter"
    r"|do_trap_ecall_u|syscall_(?:handler|common|trace)|handle_sys(?:call)?$|ret_from_(?:syscall|exception|kernel)"
    rf"|x64_sys_call|{_CALL}(?:ioctl|read|write|readv|writev|pread64|pwrite64|fsync)$"
    r"|_*(?:vfs|do_vfs|ksys)_(?:ioctl|read|write|fsync)|new_sync_|do_iter_|call_(?:write|read)_iter|__kernel_write|file_ioctl"
    r"|compat_ioctl|chrdev_open|do_dentry_open|path_openat|__fput|____fput|task_work_run|exit_to_user|do_exit|do_group_exit"
    r"|get_signal|mmap_region|__mmap_region|do_mmap|call_mmap|__do_fault|vfs_(?:open|iter)|blkdev_(?:driver_)?ioctl"
    # sockets and received messages
    r"|_*sock_(?:sendmsg|recvmsg|ioctl|do_ioctl|write_iter|read_iter|release|close)"
    r"|__sys_(?:connect|bind|accept|listen|socketpair|setsockopt|getsockopt)|kernel_(?:setsockopt|listen|accept)"
    r"|sock_(?:common_setsockopt|mmap)|sk_common_release|netlink_(?:sendmsg|rcv_skb|dump)|rtnetlink_rcv|genl_rcv|genl_family"
    r"|nfnetlink_rcv|_*netif_receive|napi_(?:gro|poll|complete|skb_finish)|__napi|net_rx_action|process_backlog"
    r"|svc_process|nfsd_dispatch|nfsd4_proc_compound|__rpc_execute|rpc_async_schedule"
    # deferred work
    r"|process_one_work|process_scheduled|worker_thread|kthread$|ret_from_fork|call_timer_fn|expire_timers|__run_timers"
    r"|__hrtimer_run|hrtimer_run|_*do_softirq|handle_softirqs|run_ksoftirqd|tasklet_action|_*irq_exit|rcu_do_batch|rcu_core"
    r"|do_initcall|do_one_initcall|do_idle|cpu_startup|secondary_startup|start_secondary|smpboot_thread_fn"
    r"|run_timer_softirq|hrtimer_run_softirq|irq_thread"
)
_FAULT_ENTRY = re.compile(r"(?:asm_)?exc_page_fault|_*do_page_fault|do_user_addr_fault|(?:async_|handle_)?page_fault$")


def blocked_in(stack: Sequence[str]) -> str | None:
    """The function in which a task is blocked: the first frame that is not a primitive, or None."""
    return next((name for name in stack if _NAMES_ITS_LOCK.match(name) or not _PRIMITIVE.match(name)), None)


def stalled_in(stack: Sequence[str]) -> str | None:
    """The function in which a stalled processor loops: the outermost frame of its own work, or None.

    A stack without dispatch code was cut short; then it is the first frame that is not a primitive.
    """
    work, whole = _without_fault(_below_the_tick(stack))
    before = None
    for name in work:
        if name.startswith("smp_call_function"):
            return name
        if not _DISPATCH.match(name):
            before = name
        elif before is not None:
            return before
    return before if whole else blocked_in(work)


def _without_fault(stack: Sequence[str]) -> tuple[Sequence[str], bool]:
    """The stack without the entry of a user-space page fault, and whether it had one."""
    end = len(stack)
    while end and _FAULT_ENTRY.match(stack[end - 1]):
        end -= 1
    return stack[:end], end < len(stack)


def _below_the_tick(stack: Sequence[str]) -> Sequence[str]:
    """The stack without the interrupt that noticed the stall and printed it."""
    noticed = next((index for index, name in enumerate(stack) if _NOTICED.match(name)), None)
    if noticed is None:
        return stack
    entry = next((i for i in range(noticed, len(stack)) if _INTERRUPT.match(stack[i])), len(stack))
    while entry < len(stack) and _INTERRUPT.match(stack[entry]):
        entry += 1
    return stack[entry:]


def broke_in(stack: Sequence[str]) -> str | None:
    """The function of a crash or warning: the first frame that is not reporting code."""
    return next((name for name in stack if not _REPORTING.match(name)), None)


def asked_in(stack: Sequence[str]) -> str | None:
    """The function whose allocation failed: the first frame below reporting and allocator code."""
    return next((name for name in stack if not (_REPORTING.match(name) or _ALLOCATOR.match(name))), None)
