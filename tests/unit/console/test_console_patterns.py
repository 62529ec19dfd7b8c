"""Headlines: each kind in the spellings of several kernels, and what only looks like one."""

from __future__ import annotations

import pytest

from harness.model.finding import FindingKind as Kind
from harness.verdicts.console.patterns import HEADLINES, TOKENS, find_headline
from harness.verdicts.console.prefilter import may_match
from harness.verdicts.console.text import Piece

EXAMPLES = [
    (Kind.HUNG_TASK, "INFO: task kworker/u4:2:24 blocked for more than 120 seconds."),
    (Kind.HUNG_TASK, "INFO: task dd:981 blocked in I/O wait for more than 120 seconds."),
    (Kind.HUNG_TASK, "INFO: task syz.1:7 can't die for more than 143 seconds."),
    (Kind.SOFT_LOCKUP, "watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [nfsd:2002]"),
    (Kind.SOFT_LOCKUP, "NMI watchdog: BUG: soft lockup - CPU#0 stuck for 11s!"),
    (Kind.HARD_LOCKUP, "NMI watchdog: Watchdog detected hard LOCKUP on cpu 5"),
    (Kind.HARD_LOCKUP, "watchdog: CPU0: Watchdog detected hard LOCKUP on cpu 1"),
    (Kind.RCU_STALL, "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:"),
    (Kind.HARD_LOCKUP, "watchdog: CPU 5 self-detected hard LOCKUP @ _raw_spin_lock+0x1/0x2"),
    (Kind.HARD_LOCKUP, "watchdog: CPU 4 detected hard LOCKUP on other CPUs 5"),
    (Kind.HUNG_TASK, "unregister_netdevice: waiting for lo to become free. Usage count = 2"),
    (Kind.RCU_STALL, "rcu: INFO: rcu_tasks detected stalls on tasks:"),
    (Kind.PANIC, "trusty: panic (caller 0xffffffffe000fbb8): ASSERT FAILED"),
    (Kind.OOPS, "rust_kernel: panicked at drivers/x.rs:12:3:"),
    (Kind.OOPS, "PANIC: early exception 0x0e IP 10:ffffffff8100 error 0 cr2 0x0"),
    (Kind.RCU_STALL, "INFO: rcu_sched self-detected stall on CPU"),
    (Kind.RCU_STALL, "rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 2-... } 10886 jiffies"),
    (Kind.WORKQUEUE_LOCKUP, "BUG: workqueue lockup - pool cpus=10 node=1 flags=0x0 nice=-20 stuck for 35s!"),
    (Kind.PANIC, "Kernel panic - not syncing: sysrq triggered crash"),
    (Kind.PANIC, "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000009"),
    (Kind.OOPS, "BUG: kernel NULL pointer dereference, address: 0000000000000000"),
    (Kind.OOPS, "BUG: unable to handle page fault for address: ffffed1000000000"),
    (Kind.OOPS, "Unable to handle kernel paging request at virtual address efff800000000137"),
    (Kind.OOPS, "general protection fault, probably for non-canonical address 0xdffff: 0000 [#1] PREEMPT SMP"),
    (Kind.OOPS, "kernel BUG at mm/usercopy.c:84!"),
    (Kind.OOPS, "invalid opcode: 0000 [#1] PREEMPT SMP KASAN PTI"),
    (Kind.OOPS, "Internal error: Oops: 0000000096000006 [#1] PREEMPT SMP"),
    (Kind.OOPS, "BUG: Bad page state in process swapper  pfn:7deea"),
    (Kind.OOPS, "BUG kmalloc-8 (Tainted: G    B         ): Object already free"),
    (Kind.SANITIZER, "BUG: KASAN: slab-use-after-free in chrdev_open+0x1/0x2"),
    (Kind.SANITIZER, "BUG: KCSAN: data-race in a / b"),
    (Kind.SANITIZER, "UBSAN: array-index-out-of-bounds in fs/x.c:12:3"),
    (Kind.WARNING, "WARNING: CPU: 1 PID: 4074 at fs/proc/generic.c:330 proc_register+0x2a4/0x370"),
    (Kind.WARNING, "WARNING: [cleanup] net/core/dev.c:12 at f+0x1/0x2, CPU#0: kworker/u8:1/7"),
    (Kind.WARNING, "WARNING: lib/debugobjects.c:615 at 0x0, CPU#1: kworker/1:3/17677"),
    (Kind.LOCKDEP, "WARNING: possible circular locking dependency detected"),
    (Kind.LOCKDEP, "[ INFO: possible recursive locking detected ]"),
    (Kind.LOCKDEP, "WARNING: suspicious RCU usage"),
    (Kind.LOCKDEP, "[ BUG: Invalid wait context ]"),
    (Kind.LOCKDEP, "BUG: spinlock bad magic on CPU#0, swapper/0/1"),
    (Kind.LOCKDEP, "[ BUG: bash/123 still has locks held! ]"),
    (Kind.ATOMIC_SLEEP, "BUG: sleeping function called from invalid context at mm/slab.h:494"),
    (Kind.ATOMIC_SLEEP, "BUG: scheduling while atomic: dd/21395/0x00000201"),
    (Kind.MEMORY_LEAK, "BUG: memory leak"),
    (Kind.MEMORY_LEAK, "kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)"),
    (Kind.OOM_KILL, "python3 invoked oom-killer: gfp_mask=0x140cca(GFP_HIGHUSER_MOVABLE), order=0"),
    (Kind.OOM_KILL, "Out of memory: Killed process 123 (python3) total-vm:120kB"),
    (Kind.OOM_KILL, "Out of memory (oom_kill_allocating_task): Killed process 123 (python3) total-vm:120kB"),
    (Kind.OOM_KILL, "Memory cgroup out of memory: Kill process 123 (a b) score 900 or sacrifice child"),
    (Kind.PAGE_ALLOC_FAILURE, "apt: page allocation failure: order:0, mode:0x40cc0(GFP_KERNEL)"),
    (Kind.PAGE_ALLOC_FAILURE, "kswapd0: page allocation stalls for 10000ms, order:0"),
    *[(Kind.STORAGE_TIMEOUT, text) for text in (
        "block nbd0: Possible stuck request 00000000abcd: control (read@0,4096B). Runtime 90 seconds",
        "block nbd0: Connection timed out",
        "block nbd0: Connection timed out, retrying (0/1 alive)",
        "block nbd12: Dead connection, failed to find a fallback",
        "block nbd0: Send control failed (result -32)",
        "block nbd0: Receive control failed (result -104)",
        "block nbd0: shutting down sockets",
        "nfs: server 10.0.0.1 not responding, still trying",
        "nfs: server 10.0.0.1 not responding, timed out",
        "lockd: server fe80::1 not responding, still trying",
        "CIFS: VFS: \\\\server has not responded in 180 seconds. Reconnecting...",
        " connection1:0: ping timeout of 5 secs expired, recv timeout 5, last rx 4295",
        " connection1:0: detected conn error (1022)",
        " session1: session recovery timed out after 120 secs",
        "sd 2:0:0:0: [sda] tag#0 timing out command, waited 180s",
        "sd 2:0:0:0: [sda] tag#0 FAILED Result: hostbyte=DID_TIME_OUT driverbyte=DRIVER_OK",
        "sd 2:0:0:0: [sda] tag#3 FAILED Result: hostbyte=DID_TRANSPORT_FAILFAST driverbyte=DRIVER_OK cmd_age=120s",
        "sd 2:0:0:0: Device offlined - not ready after error recovery",
        "rport-2:0-0: blocked FC remote port time out: removing target and saving binding",
        "scsi_transport_srp: dev_loss_tmo expired for SRP port-2:1 / host2.",
        "scsi host2: SRP abort called",
        "nvme nvme0: I/O 12 QID 1 timeout, aborting",
        "nvme nvme0: I/O tag 12 (100c) opcode 0x2 (I/O Cmd) QID 1 timeout, aborting req_op:READ(0) size:4096",
        "nvme nvme1: queue 1: timeout request 0x4 type 4",
        "nvme nvme1: keep-alive failed: -5",
        "nvme nvme1: starting error recovery",
        "nvme nvme0: controller is down; will reset: CSTS=0xffffffff, PCI_STATUS=0x10",
        "ata1.00: exception Emask 0x0 SAct 0x0 SErr 0x0 action 0x6 frozen",
        "ata2.00: qc timeout (cmd 0xec)",
        "device-mapper: multipath: 253:0: Failing path 8:16.",
        "ib0: transmit timeout: latency 1004 msecs",
        "ib0: queue stopped 1, tx_head 64, tx_tail 0, global_tx_head 64, global_tx_tail 0",
        "ib0: timing out; 64 sends not completed",
        "ib0: timing out; 64 sends 128 receives not completed",
        "NETDEV WATCHDOG: ib0 (ib_mthca): transmit queue 0 timed out",
        "e1000 0000:00:03.0 ens3: NETDEV WATCHDOG: CPU: 0: transmit queue 0 timed out 5376 ms",
        "timeout error, dev nvme0n1, sector 8 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 2",
    )],
    *[(Kind.IO_ERROR, text) for text in (
        "block nbd0: Other side returned error (5)",
        "sd 2:0:0:0: [sdb] rejecting I/O to offline device",
        "sd 2:0:0:0: rejecting I/O to dead device",
        "blk_update_request: I/O error, dev sda, sector 2048",
        "I/O error, dev nbd0, sector 2048 op 0x1:(WRITE) flags 0x800 phys_seg 1 prio class 2",
        "critical medium error, dev sda, sector 2048 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 2",
        "recoverable transport error, dev sdb, sector 0 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 2",
        "Buffer I/O error on dev nbd0, logical block 0, lost async page write",
        "Read-error on swap-device (43:0:1024)",
        "Write-error on swap-device (43:0:1024)",
        "aoe: device 0.1 is not up",
    )],
]  # fmt: skip

HARMLESS = [
    "INFO: lockdep is turned off.",
    "INFO: NMI handler (perf_event_nmi_handler) took too long to run: 1.356 msecs",
    "INFO: task dd:981 is blocked on a mutex likely owned by task sync:982.",
    "Spectre V2 : WARNING: Unprivileged eBPF is enabled with eIBRS on",
    "WARNING: the mand mount option is being deprecated and",
    "traps: a.out[3615] general protection fault ip:7feb sp:20000fd0 error:0 in a.out[7feb+84000]",
    "---[ end Kernel panic - not syncing: hung_task: blocked tasks ]---",
    "block nbd0: NBD_DISCONNECT",
    "block nbd0: reconnected socket",
    "nfs: server 10.0.0.1 OK",
    "sd 2:0:0:0: [sda] Attached SCSI disk",
    "nvme nvme0: 2/0/0 default/read/poll queues",
    "ata1.00: configured for UDMA/100",
    "ata1: SATA link up 1.5 Gbps (SStatus 113 SControl 300)",
    "iscsi: registered transport (tcp)",
    "NET: Registered PF_INET6 protocol family",
    "Bluetooth: hci1: command 0x0406 tx timeout",
    "workqueue: blk_mq_run_work_fn hogged CPU for >10000us 4 times, consider switching to WQ_UNBOUND",
    "rcu: rcu_preempt kthread starved for 5251 jiffies! g12001 f0x0 RCU_GP_WAIT_FQS(5) ->state=0x0 ->cpu=1",
    "rcu: INFO: Stall ended before state dump start",
    "WARNING: workqueue cpumask: online intersect > possible intersect",
    "WARNING: fbcon: Driver 'vkms' missed to adjust virtual screen size (0x0 vs. 64x768)",
    "warning: `dd' uses wireless extensions which will stop working for Wi-Fi 7 hardware",
    "sysrq: Show Blocked State",
    "sysrq: Show Memory",
    "NMI backtrace for cpu 1",
    "kmemleak: Kernel memory leak detector initialized (mem pool available: 15679)",
    "ODEBUG: Out of memory. ODEBUG disabled",
    "Linux version 6.1.0 (gcc) #1 SMP",
    "systemd[1]: unit.service: start operation timed out",
]


def stamped(text: str) -> Piece:
    return Piece(text, 12.5)


@pytest.mark.parametrize(("kind", "text"), EXAMPLES)
def test_headline_has_its_kind(kind: Kind, text: str) -> None:
    match = find_headline(stamped(text))
    assert match is not None
    assert match.headline.kind is kind


@pytest.mark.parametrize(("kind", "text"), EXAMPLES)
def test_the_prefilter_lets_every_headline_through(kind: Kind, text: str) -> None:
    assert may_match(b"before\n" + text.encode() + b"\nafter\n")


@pytest.mark.parametrize("text", HARMLESS)
def test_harmless_message_is_no_headline(text: str) -> None:
    assert find_headline(stamped(text)) is None


def test_every_kind_but_reboot_has_a_headline_and_an_example() -> None:
    kinds = set(Kind) - {Kind.REBOOT}
    assert {headline.kind for headline in HEADLINES} == kinds
    assert {kind for kind, _ in EXAMPLES} == kinds


@pytest.mark.parametrize("token", TOKENS)
def test_the_prefilter_sees_a_token_wherever_it_stands(token: str) -> None:
    assert may_match(token.encode())
    assert may_match(b"some text " + token.encode() + b" and more")


def test_a_program_that_writes_warning_is_not_the_kernel() -> None:
    assert find_headline(Piece("WARNING: something odd")) is None
    assert find_headline(stamped("WARNING: something odd")) is not None


def test_fields_are_taken_from_the_headline() -> None:
    match = find_headline(stamped("INFO: task kworker/u4:2:24 blocked for more than 120 seconds."))
    assert match is not None
    assert (match.fields["task"], match.fields["pid"]) == ("kworker/u4:2", "24")
