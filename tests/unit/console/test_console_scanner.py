"""The scanner: when a report is complete, what belongs to it, and what is no finding at all."""

from __future__ import annotations

from harness.model.finding import Finding
from harness.model.finding import FindingKind as Kind
from harness.verdicts.console import OrderedScanner, Scanner, decisive, scan

HUNG = b"""\
[  242.703091] INFO: task dd:981 blocked for more than 120 seconds.
[  242.703700]       Not tainted 6.1.0-18-amd64 #1 Debian 6.1.76-1
[  242.704301] "echo 0 > /proc/sys/kernel/hung_task_timeout_secs" disables this message.
[  242.704999] task:dd              state:D stack:0     pid:981   ppid:975    flags:0x00000002
[  242.705710] Call Trace:
[  242.706009]  <TASK>
[  242.706283]  __schedule+0x34d/0x9e0
[  242.706650]  ? __mod_timer+0x1c2/0x3b0
[  242.706999]  schedule+0x5a/0xd0
[  242.707345]  io_schedule+0x42/0x70
[  242.707712]  wbt_wait+0xa4/0x110
[  242.708073]  __swap_writepage+0x152/0x3a0
[  242.708462]  shrink_page_list+0x86c/0xabc
[  242.708835]  </TASK>
[  242.709163] RIP: 0033:0x7f763ccc9572
"""
STUCK = b"block nbd0: Possible stuck request 00000000abcd: control (read@0,4096B). Runtime 90 seconds\r\n"


def kinds(findings: list[Finding]) -> list[Kind | str]:
    return [finding.kind for finding in findings]


def test_hung_task_is_complete_at_its_user_registers() -> None:
    (finding,) = Scanner().feed(HUNG)
    assert finding == Finding(
        kind=Kind.HUNG_TASK, title="INFO: task dd:981 blocked for more than 120 seconds.", line=1, function="wbt_wait",
        task="dd", pid=981, time_s=242.703091,
        stack=("__schedule", "schedule", "io_schedule", "wbt_wait", "__swap_writepage", "shrink_page_list"),
    )  # fmt: skip


def test_pending_shows_a_report_before_it_is_complete() -> None:
    scanner = Scanner()
    first, rest = HUNG.split(b"\n", 1)
    assert scanner.feed(first + b"\n") == []
    pending = scanner.pending
    assert pending is not None
    assert (pending.kind, pending.task, pending.pid) == (Kind.HUNG_TASK, "dd", 981)
    assert kinds(scanner.feed(rest)) == [Kind.HUNG_TASK]
    assert scanner.pending is None


def test_close_returns_what_was_open_and_says_that_it_was_cut() -> None:
    scanner = Scanner()
    scanner.feed(HUNG[:300])
    (finding,) = scanner.close()
    assert finding.kind is Kind.HUNG_TASK
    assert finding.corrupted
    assert scanner.close() == []


def test_a_following_headline_completes_a_report() -> None:
    cut = b"".join(HUNG.splitlines(keepends=True)[:9])
    findings = scan(cut + HUNG.replace(b"dd:981", b"dd:982"))
    assert [(f.kind, f.line, f.pid) for f in findings] == [(Kind.HUNG_TASK, 1, 981), (Kind.HUNG_TASK, 10, 982)]


def test_a_report_is_over_after_enough_lines() -> None:
    noise = b"".join(b"[  250.%06d] usb 1-1: something\n" % n for n in range(500))
    assert kinds(Scanner().feed(HUNG.rsplit(b"\n", 3)[0] + b"\n" + noise)) == [Kind.HUNG_TASK]


def test_a_storage_timeout_within_a_report_does_not_end_it() -> None:
    lines = HUNG.splitlines(keepends=True)
    findings = scan(b"".join([*lines[:8], STUCK, *lines[8:]]))
    assert kinds(findings) == [Kind.HUNG_TASK, Kind.STORAGE_TIMEOUT]
    assert findings[0].function == "wbt_wait"
    assert findings[1].line == 9


NBD = b"[  %d.000001] block nbd%d: %s\n"


def test_sockets_that_are_shut_down_are_a_finding_unless_that_was_asked_for_or_explained() -> None:
    shut = NBD % (7, 0, b"shutting down sockets")
    assert kinds(scan(shut)) == [Kind.STORAGE_TIMEOUT]
    assert scan(NBD % (6, 0, b"NBD_DISCONNECT") + shut) == []
    assert kinds(scan(NBD % (6, 1, b"NBD_DISCONNECT") + shut)) == [Kind.STORAGE_TIMEOUT]
    assert [f.line for f in scan(NBD % (6, 0, b"Connection timed out") + shut)] == [1]
    later = b"".join(b"[    6.%06d] usb 1-1: x\n" % number for number in range(60))
    assert [f.line for f in scan(NBD % (5, 0, b"Connection timed out") + later + shut)] == [1, 62]


def test_the_two_lines_of_a_transmit_timeout_are_one_finding() -> None:
    first = b"[    9.000001] ib0: transmit timeout: latency 1004 msecs\n"
    second = b"[    9.000002] ib%d: queue stopped 1, tx_head 64, tx_tail 0\n"
    assert [f.line for f in scan(first + second % 0)] == [1]
    assert [f.line for f in scan(first + second % 1)] == [1, 2]


def test_a_request_that_failed_is_a_circumstance_of_what_came_of_it() -> None:
    findings = scan(b"[  240.000001] I/O error, dev nbd0, sector 8 op 0x0:(READ) flags 0x0\n" + HUNG)
    assert kinds(findings) == [Kind.IO_ERROR, Kind.HUNG_TASK]
    chosen = decisive(findings)
    assert chosen is not None
    assert chosen.kind is Kind.HUNG_TASK


def test_a_hung_task_that_waits_for_io_and_whose_lock_has_an_owner_is_one_finding() -> None:
    """Linux 6.16 and later show the owner of the lock that a hung task waits for; its stack is not the task's."""
    owner = HUNG.split(b"\n", 3)[3].replace(b"dd  ", b"owner").replace(b"wbt_wait", b"owner_waits")
    text = HUNG.replace(b"981 blocked for", b"981 blocked in I/O wait for") + (
        b"[  242.709200] INFO: task dd:981 is blocked on a mutex likely owned by task owner:7.\n" + owner
    )
    (finding,) = scan(text)
    assert (finding.function, finding.pid) == ("wbt_wait", 981)


def test_ordered_findings_come_in_the_order_of_their_headlines() -> None:
    lines = HUNG.splitlines(keepends=True)
    scanner, seen = OrderedScanner(), []
    for part in (*lines[:6], STUCK, *lines[6:-1]):
        assert scanner.feed(part) == []
    seen = scanner.feed(lines[-1]) + scanner.close()
    assert [(f.kind, f.line) for f in seen] == [(Kind.HUNG_TASK, 1), (Kind.STORAGE_TIMEOUT, 7)]


def test_messages_of_another_processor_do_not_join_a_report() -> None:
    mine = HUNG.replace(b"] ", b"][   T37] ", 1).replace(b"] ", b"][   T37] ")
    noise = b"[  242.706300][  T981]  intruder_function+0x1/0x2\n"
    lines = mine.replace(b"[   T37][   T37]", b"[   T37]").splitlines(keepends=True)
    (finding,) = scan(b"".join([*lines[:6], noise, *lines[6:]]))
    assert "intruder_function" not in finding.stack
    assert finding.function == "wbt_wait"


def test_what_the_harness_asks_sysrq_for_is_no_finding() -> None:
    stack = HUNG.split(b"\n", 3)[3]
    asked = (
        b"[  300.000001] sysrq: Show Blocked State\n" + stack
        + b"[  301.000001] sysrq: Show backtrace of all active CPUs\n"
        + b"[  301.000002] NMI backtrace for cpu 1\n[  301.000003] CPU: 1 PID: 7 Comm: kswapd0 Not tainted 6.1.0 #1\n"
        + b"[  301.000004] RIP: 0010:shrink_node+0x1/0x2\n" + stack
        + b"[  302.000001] sysrq: Show Memory\n[  302.000002] Mem-Info:\n"
        + b"[  303.000001] sysrq: Show State\n" + stack
    )  # fmt: skip
    assert scan(asked) == []


def test_a_sysrq_dump_does_not_join_the_report_before_it() -> None:
    cut = b"".join(HUNG.splitlines(keepends=True)[:4])
    (finding,) = scan(cut + b"[  300.000001] sysrq: Show Blocked State\n" + HUNG.split(b"\n", 3)[3])
    assert finding.stack == ()


def test_a_crash_asked_for_by_sysrq_is_one() -> None:
    text = (
        b"[   99.000001] sysrq: Trigger a crash\n"
        b"[   99.000002] Kernel panic - not syncing: sysrq triggered crash\n"
        b"[   99.000003] CPU: 1 PID: 612 Comm: bash Not tainted 6.1.0-18-amd64 #1\n"
        b"[   99.000004] Call Trace:\n[   99.000005]  panic+0x1/0x2\n[   99.000006]  sysrq_handle_crash+0x1/0x2\n"
        b"[   99.000007] ---[ end Kernel panic - not syncing: sysrq triggered crash ]---\n"
    )
    (finding,) = scan(text)
    assert (finding.kind, finding.task, finding.pid, finding.cpu) == (Kind.PANIC, "bash", 612, 1)


def test_the_lines_of_one_oops_are_one_finding() -> None:
    text = (
        b"[    5.000001] BUG: kernel NULL pointer dereference, address: 0000000000000008\n"
        b"[    5.000002] #PF: supervisor read access in kernel mode\n"
        b"[    5.000003] Oops: 0000 [#1] PREEMPT SMP PTI\n"
        b"[    5.000004] CPU: 0 PID: 44 Comm: kworker/0:1 Tainted: G    E  6.1.0 #1\n"
        b"[    5.000005] RIP: 0010:nbd_send_cmd+0x1/0x2 [nbd]\n[    5.000006] Call Trace:\n"
        b"[    5.000007]  nbd_queue_rq+0x1/0x2 [nbd]\n[    5.000008] ---[ end trace 0000000000000000 ]---\n"
        b"[    5.000009] Kernel panic - not syncing: Fatal exception\n"
    )
    first, second = scan(text)
    assert (first.kind, first.function, first.stack) == (
        Kind.OOPS, "nbd_send_cmd", ("nbd_send_cmd", "nbd_queue_rq")
    )  # fmt: skip
    assert (second.kind, second.line) == (Kind.PANIC, 9)


def test_oom_kill_names_the_victim_and_keeps_the_stack_of_the_one_who_asked() -> None:
    text = (
        b"[   40.000001] nbd-client invoked oom-killer: gfp_mask=0x140cca(GFP_HIGHUSER_MOVABLE), order=0\n"
        b"[   40.000002] CPU: 0 PID: 300 Comm: nbd-client Not tainted 6.1.0 #1\n[   40.000003] Call Trace:\n"
        b"[   40.000004]  dump_header+0x1/0x2\n[   40.000005]  __alloc_pages+0x1/0x2\n[   40.000006] Mem-Info:\n"
        b"[   40.000007] Out of memory: Killed process 123 (python3) total-vm:1kB, anon-rss:1kB\n"
    )
    (finding,) = Scanner().feed(text)
    assert (finding.kind, finding.task, finding.pid, finding.line) == (Kind.OOM_KILL, "python3", 123, 1)
    assert finding.stack == ("dump_header", "__alloc_pages")


def test_a_message_that_a_log_daemon_echoes_is_one_finding() -> None:
    panic = b"[   99.000002] Kernel panic - not syncing: out of ideas\n"
    assert kinds(scan(panic + b"Dec  4 15:56:11 guest kernel: " + panic)) == [Kind.PANIC]


def test_the_first_boot_is_no_reboot() -> None:
    boot = b"\x1bc\x1b[?7l\r\nSeaBIOS (version 1.16.2-1)\r\niPXE (http://ipxe.org)\r\nBooting from ROM...\r\n"
    kernel = b"[    0.000000] Linux version 6.1.0-18-amd64\r\n[    0.100000] x86/fpu: x87\r\n"
    assert scan(boot + kernel) == []
    assert scan(kernel) == []
    assert scan(b"qemu-system-x86_64: warning: no KVM\n" + boot + kernel) == []


def test_a_boot_after_a_running_kernel_is_one_reboot() -> None:
    boot = b"SeaBIOS (version 1.16.2)\n[    0.000000] Linux version 6.1.0-18-amd64\n[    9.000000] nfs: up\n"
    assert [(f.kind, f.line) for f in scan(boot + boot)] == [(Kind.REBOOT, 4)]
    kexec = b"[    0.000000] Linux version 6.1.0\n[    9.000000] nfs: up\n"
    assert [(f.kind, f.line) for f in scan(kexec + kexec)] == [(Kind.REBOOT, 3)]


def test_a_kernel_that_is_unpacked_after_a_kernel_is_one_reboot() -> None:
    boot = b"Decompressing Linux... done.\nBooting the kernel.\n[    0.000000] Linux version 6.1.0\n[    1.000000] up\n"
    assert scan(b"GNU GRUB  version 2.06\n" + boot) == []
    assert [(f.kind, f.line) for f in scan(boot + boot)] == [(Kind.REBOOT, 6)]


def test_a_boot_console_that_is_replayed_is_no_reboot() -> None:
    early = b"[    0.000000] Linux version 6.1.0\n[    0.200000] printk: bootconsole [earlyser0] disabled\n"
    assert scan(early + early + b"[    9.000000] nfs: up\n") == []


def test_a_program_that_shows_the_version_is_no_reboot() -> None:
    running = b"[    0.000000] Linux version 6.1.0\n[    9.000000] nfs: up\n"
    assert scan(running + b"# cat /proc/version\nLinux version 6.1.0 (gcc)\n") == []


def test_decisive_prefers_the_first_report_to_its_circumstances() -> None:
    findings = scan(STUCK + HUNG + b"[  300.000002] Kernel panic - not syncing: hung_task: blocked tasks\n")
    assert kinds(findings) == [Kind.STORAGE_TIMEOUT, Kind.HUNG_TASK, Kind.PANIC]
    chosen = decisive(findings)
    assert chosen is not None
    assert chosen.kind is Kind.HUNG_TASK
    assert decisive(findings[:1]) == findings[0]
    assert decisive([]) is None
