"""The reader: every form of dump gives the same tasks, no bytes make it fail, and what it keeps is bounded."""

from __future__ import annotations

import random
from itertools import pairwise
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.diagnosis import Reader
from harness.diagnosis.read.facts import MOST_TASKS, Facts
from harness.diagnosis.read.parser import Parser
from harness.diagnosis.reader import read_facts
from harness.model.diagnosis import Diagnosis
from harness.model.finding import NoticeKind
from harness.model.hang_classes import HangClass
from harness.verdicts.console.text import Piece

STACK = ["__schedule", "schedule", "io_schedule", "blk_mq_get_tag", "blk_mq_submit_bio", "ext4_io_submit"]
NEW = ["task:dd              state:D stack:0     pid:981   ppid:975    flags:0x00000002"]
FORMS = {
    "sysrq of today": [*NEW, "Call Trace:", *(f" {name}+0x1/0x2" for name in STACK)],
    "sysrq of 5.x": ["dd              D    0   981    975 0x80000000", "Call Trace:", *(f" "
    f"{n}+0x1/0x2" for n in STACK)],
    "sysrq of 3.10": [
        "dd    D ffffffff8168bd60     0   981  14347 0x00000004", " ffff880da128f070 0000000000000082 ffff880f94a2eeb0",
        "Call Trace:", *(f" [<ffffffff8168dce9>] {name}+0x29/0x70" for name in STACK),
    ],
    "stack free printed": ["dd   D23920   981   4681 0x00000004", "Call Trace:", *(f" "
    f"{name}+0x1/0x2" for name in STACK)],
    "hung task": [
        "INFO: task dd:981 blocked for more than 120 seconds.", "      Not tainted 6.1.0-18-amd64 #1", *NEW, "Call "
        "Trace:",
        *(f" {name}+0x1/0x2" for name in STACK),
    ],
    "hung in I/O": [
        "INFO: task dd:981 blocked in I/O wait for more than 120 seconds.", *NEW, "Call Trace:", *(f" "
        f"{n}+0x1/0x2" for n in STACK),
    ],
    "32-bit arm": [*NEW, *(f" {low} from {high}+0x1/0x2" for low, high in pairwise(STACK))],
    "wrapped by mail": [
        "task:dd              state:D stack:    0 pid:  981", "ppid:   975 flags:0x00000002", "Call Trace:",
        *(f" {name}+0x1/0x2" for name in STACK), "R10: 0000000000000000", "000000000000004b",
    ],
}  # fmt: skip
PREFIXES = ["", "[  242.704999] ", "[  242.704999][ T981] ", "Jul 11 11:23:15 b2 kernel: ",
"4,1736499,1121675690224,-;",
            "[Sun Jun  5 09:44:51 2022] ", "> ", "> > ",
            ">> kernel:warning: [10419813.132342] ", "[ 2459.072115] kernel: ", "<6>[  242.704999] "]  # fmt: skip


def facts(lines: list[str]) -> Facts:
    return read_facts("\n".join(lines).encode(), "console")


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_task(form: str, prefix: str) -> None:
    (task,) = facts([prefix + line for line in FORMS[form]]).tasks
    assert (task.name, task.pid, task.state) == ("dd", 981, "D")
    assert [step.name for step in task.path] == STACK
    assert task.hung_s == (120.0 if "hung" in form else None)


def test_a_stack_pasted_from_proc_needs_no_scheduler_on_top() -> None:
    pasted = ["# cat /proc/4711/stack", *(f"[<0>] {name}+0x1/0x2" for name in STACK[3:])]
    (task,) = facts(pasted).tasks
    assert task.pid == 4711 and [step.name for step in task.path] == STACK[3:]
    (unnamed,) = facts(pasted[1:]).tasks
    assert unnamed.pid is None


def test_a_stack_that_a_web_page_took_the_addresses_from() -> None:
    lines = [
        "dd    D ffffffff8168bd60     0   981  14347 0x00000004",
        "Call Trace:",
        *(f"[] {name}+0x1/0x2" for name in STACK),
    ]
    (task,) = facts(lines).tasks
    assert [step.name for step in task.path] == STACK


def test_headers_that_say_less() -> None:
    wrapped = [
        "task:md127_resync    state:D stack:0",
        "pid:2620  ppid:2      flags:0x00000008",
        "Call trace:",
        " schedule+0x1/0x2",
    ]
    short = ["task:multipathd", "Call Trace:", " schedule+0x1/0x2"]
    stubborn = [
        "INFO: task a:7 can't die for more than 143 seconds.",
        *(line.replace("dd ", "a ").replace("981", "7") for line in NEW),
    ]
    found = facts([*wrapped, *short, *stubborn, " schedule+0x1/0x2"]).tasks
    assert [(task.name, task.pid, len(task.steps)) for task in found] == [
        ("md127_resync", None, 1),
        ("multipathd", None, 1),
        ("a", 7, 1),
    ]
    assert found[-1].hung_s == 143.0


def test_a_stack_of_something_that_runs_is_not_one_that_waits() -> None:
    warning = ["WARNING: CPU: 0 PID: 1 at mm/x.c:1 f+0x1/0x2", "Call Trace:", " f+0x1/0x2", " g+0x1/0x2"]
    reader = Reader()
    reader.feed("\n".join(warning).encode())
    assert reader.close() is None


def test_frames_carry_their_lines_and_modules() -> None:
    (task,) = facts(
        [*NEW, "Call Trace:", " <TASK>", " schedule+0x1/0x2", " ? guess+0x1/0x2", " nfs_wait+0x1/0x2 [nfs]"]
    ).tasks
    assert [(step.name, step.line, step.module, step.sure) for step in task.steps] == [
        ("schedule", 4, "", True), ("guess", 5, "", False), ("nfs_wait", 6, "nfs", True),
    ]  # fmt: skip


def test_processors_that_print_at_the_same_time_do_not_mix_stacks() -> None:
    one = ["[ 1.000001][ T1] task:a  state:D stack:0 pid:1 ppid:2", "[ 1.000001][ T1]  schedule+0x1/0x2"]
    two = ["[ 1.000001][ T2] task:b  state:D stack:0 pid:2 ppid:2", "[ 1.000001][ T2]  io_schedule+0x1/0x2"]
    mixed = [line for pair in zip(one, two, strict=True) for line in pair]
    assert {task.name: [step.name for step in task.steps] for task in facts(mixed).tasks} == {
        "a": ["schedule"], "b": ["io_schedule"],
    }  # fmt: skip


def test_a_task_in_two_dumps_is_one_task_that_moved_or_not() -> None:
    def dump(second: int, top: str) -> list[str]:
        return [f"[ {second}.000000] {line}" for line in [*NEW, "Call Trace:", " schedule+0x1/0x2", f" {top}+0x1/0x2"]]

    (stuck,) = facts(dump(100, "wbt_wait") + dump(400, "wbt_wait")).tasks
    (moved,) = facts(dump(100, "wbt_wait") + dump(400, "submit_bio_wait")).tasks
    assert (stuck.seen, stuck.moved, stuck.persists_s) == (2, False, 300.0)
    assert (moved.seen, moved.moved, moved.persists_s) == (2, True, 0.0)


LOCKS = """
Showing all locks held in the system:
3 locks held by bash/234291:
 #0: ffff888102fe1438 (sb_writers#3){.+.+}-{0:0}, at: ksys_write+0xc9/0x170
 #1: ffffffff94788f10 (shrinker_rwsem){++++}-{3:3}, at: shrink_slab+0xa9/0x1d0
 #2:  (&type->s_umount_key#51){++++.+}, at: [<ffffffff81234567>] super_cache_scan+0x41/0x2c0
"""


def test_lists_of_locks_in_old_and_new_spelling() -> None:
    (task,) = facts(LOCKS.splitlines()).tasks
    assert [(held.lock, held.at, held.address[:4]) for held in task.held] == [
        ("sb_writers#3", "ksys_write", "ffff"), ("shrinker_rwsem", "shrink_slab", "ffff"),
        ("&type->s_umount_key#51", "super_cache_scan", ""),
    ]  # fmt: skip


ALL = "\n".join("\n".join(form) for form in FORMS.values()) + LOCKS


def diagnose(data: bytes, cuts: list[int]) -> Diagnosis | None:
    reader, start = Reader(), 0
    for cut in [*sorted(cuts), len(data)]:
        reader.feed(data[start:cut])
        start = max(start, cut)
    return reader.close()


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=400), st.lists(st.integers(0, 6000), max_size=8), st.integers(0, 6000))
def test_cuts_do_not_matter_whatever_the_bytes(noise: bytes, cuts: list[int], place: int) -> None:
    data = ALL.encode()[:place] + noise + ALL.encode()[place:]
    assert diagnose(data, cuts) == diagnose(data, [])


WORDS = ["task:a state:D stack:0 pid:1 ppid:2", "INFO: task a:1 blocked for more than 9 seconds", "Call Trace:", " "
"f+0x1/0x2",
         " schedule+0x1/0x2 [nfs]", "Workqueue: q w", "1 lock held by a/1:", " #0: ff (l){+}-{1:1}, at: f+0x1/0x2",
         "workqueue q: flags=0x0", "  pwq 1: cpus=0 active=1/1 refcnt=2", "    in-flight: 1:f", "    inactive: g",
         "BUG: soft lockup - CPU#0 stuck for 22s! [a:1]", "rcu: INFO: rcu_sched detected stalls on CPUs/tasks:",
         "CPU: 0 PID: 1 Comm: a Not tainted", "nfs: server s not responding", "\x00\x1b[0m", "INFO: task a:1 is "
         "blocked on a mutex "
         "likely owned by task b:2.", "x" * 300]  # fmt: skip


QUIET = ["usb 1-1: New USB device found, idVendor=0627", "", "pci 0: reg 0x10: [mem 0xfd000000-0xfdffffff pref]",
         "systemd[1]: Started apt-daily.timer - Daily apt.", "printk: console [ttyS0] enabled",
         "Adding 524284k swap on /dev/nbd0.  Priority:-2 extents:1", "NFSD: Using nfsdcld client tracking operations.",
         "nfs: server s OK", "block nbd0: Possible stuck request 7: control (r) Runtime 30 seconds", "NFSD: nothing",
         "connection1:0: detected conn error (1020)", "Node 0 DMA free:9kB min:40kB low:1kB", "task:multipathd",
         "ta\rsk:b state:D stack:0 pid:7", "ta\x1b[1msk:c state:D stack:0 pid:8", "dd  D    0   981    975 0x80000000",
         "a D 1 2 3 \t0x80000000", "nvme0: I/O 5 QID 2 timeout", "sd 0:0:0:0: Device offlined", "/dev/a  partition 9 0",
         "INFO: task a:7 can't die for more than 143 seconds.", "INFO: task b:8 blocked for more"]  # fmt: skip


def every_line(data: bytes) -> Facts:
    """What is read if no line is passed over."""
    with mock.patch.object(Parser, "idle", False):
        return read_facts(data, "console")


@settings(deadline=None, max_examples=200)
@given(st.lists(st.one_of(st.sampled_from(WORDS + QUIET), st.text(max_size=30)), max_size=40), st.integers(0, 130))
def test_lines_that_are_passed_over_say_nothing(lines: list[str], gap: int) -> None:
    data = "\n".join([*lines, *["systemd[1]: Started."] * gap, *lines[::-1]]).encode()
    assert read_facts(data, "console") == every_line(data)


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=400), st.integers(0, 6000))
def test_lines_that_are_passed_over_say_nothing_whatever_the_bytes(noise: bytes, place: int) -> None:
    data = ALL.encode()[:place] + noise + ALL.encode()[place:]
    assert read_facts(data, "console") == every_line(data)


def test_a_list_ends_when_nothing_of_it_comes_any_more() -> None:
    parser = Parser("console")
    idle = []
    for number, line in enumerate([*LOCKS.strip().splitlines(), *["usb 1-1: a device"] * 30]):
        parser.see(Piece(line), number)
        idle.append(parser.idle)
    assert idle.index(False) == 1 and idle.index(True, 1) < 30 and all(idle[-3:])


def test_the_last_word_about_a_server_is_kept_however_often_it_was_said() -> None:
    silent, back = "nfs: server s not responding, still trying", "nfs: server s OK"
    held = facts([silent, back] * 1000 + [silent])
    assert len(held.notices) <= 512
    assert [notice.kind for notice in held.notices][-2:] == [NoticeKind.NFS_BACK, NoticeKind.NFS_SILENT]
    assert held.notices[-1].line == 2001


@settings(deadline=None, max_examples=150)
@given(st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=30)), max_size=40))
def test_no_order_of_lines_makes_it_fail(lines: list[str]) -> None:
    found = diagnose("\n".join(lines).encode(), [])
    assert found is None or Diagnosis.from_dict(found.to_dict()) == found


def test_memory_is_bounded_whatever_arrives() -> None:
    chance = random.Random(1)
    reader = Reader()
    for number in range(6000):
        reader.feed(f"task:t{number} state:D stack:0 pid:{number} ppid:2\n schedule+0x1/0x2\n".encode())
        reader.feed(b" f%d+0x1/0x2\n" % chance.randrange(9) * 3)
    reader.feed(b" deep+0x1/0x2\n" * 5000 + b"x" * 2_000_000)
    held = reader.facts()
    assert len(held.tasks) == MOST_TASKS
    assert max(len(task.steps) for task in held.tasks) < 200
    assert not reader._carry


def test_thousands_of_tasks_are_still_a_graph_to_look_at() -> None:
    lines = []
    for number in range(1000):
        lines += [f"task:t{number} state:D stack:0 pid:{number} ppid:2", " schedule+0x1/0x2", f" own_{number}+0x1/0x2"]
    found = diagnose("\n".join(lines).encode(), [])
    assert found is not None and found.hang_class is HangClass.UNKNOWN
    assert 0 < len(found.nodes) <= 24
