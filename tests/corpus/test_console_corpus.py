"""The scanner against consoles with known answers, those of our own runs and those of others (`corpora`).

The aims are the project's: at least 95 % right in category, no crash where there was none, at least 90 % of hang
functions right.
"""

from __future__ import annotations

import random

import pytest
from corpora import CORPORA, Log, read_corpus, read_hangs

from harness.model.finding import CRASHES, LOCKUPS, Finding
from harness.model.finding import FindingKind as Kind
from harness.verdicts.console import Scanner, decisive, scan

CATEGORY: dict[Kind | str, str] = {
    Kind.HUNG_TASK: "hung_task", Kind.SOFT_LOCKUP: "lockup_stall", Kind.HARD_LOCKUP: "lockup_stall",
    Kind.RCU_STALL: "lockup_stall", Kind.WORKQUEUE_LOCKUP: "lockup_stall", Kind.PANIC: "panic_oops",
    Kind.OOPS: "panic_oops", Kind.SANITIZER: "sanitizer", Kind.WARNING: "warning", Kind.LOCKDEP: "lockdep",
    Kind.ATOMIC_SLEEP: "atomic_sleep", Kind.MEMORY_LEAK: "memory_leak", Kind.REBOOT: "reboot",
}  # fmt: skip
HANGS = LOCKUPS | {Kind.HUNG_TASK, Kind.WORKQUEUE_LOCKUP}


@pytest.fixture(scope="module", params=CORPORA, ids=lambda folder: folder.name)
def logs(request: pytest.FixtureRequest) -> list[Log]:
    return read_corpus(request.param)


def category(findings: list[Finding]) -> str:
    chosen = decisive(findings)
    return CATEGORY.get(chosen.kind, str(chosen.kind)) if chosen else "none"


def test_at_least_95_percent_are_right_in_category(logs: list[Log]) -> None:
    # What a fuzzer says about itself is not the kernel's: nothing is the right answer to it.
    wanted = {log.name: "none" if log.category == "not_kernel" else log.category for log in logs}
    wrong = {log.name: got for log in logs if (got := category(scan(log.data))) != wanted[log.name]}
    assert len(wrong) <= 0.05 * len(logs), wrong


def test_no_crash_is_found_where_there_was_none(logs: list[Log]) -> None:
    quiet = [log for log in logs if log.category == "none"]
    assert quiet
    found = {log.name: [f.kind for f in scan(log.data) if f.kind in CRASHES | HANGS] for log in quiet}
    assert not {name: kinds for name, kinds in found.items() if kinds}


def test_at_least_90_percent_of_hang_functions_are_right(logs: list[Log]) -> None:
    for kinds in {log.category for log in logs} & {"hung_task", "lockup_stall"}:
        check_functions([log for log in logs if log.category == kinds and not log.corrupted])


def check_functions(hangs: list[Log]) -> None:
    assert hangs
    chosen = {log.name: decisive(scan(log.data)) for log in hangs}
    named = {name: finding.function if finding else None for name, finding in chosen.items()}
    wrong = {log.name: named[log.name] for log in hangs if named[log.name] not in log.functions}
    assert len(wrong) <= 0.10 * len(hangs), wrong


def test_the_cuts_between_reads_change_nothing(logs: list[Log]) -> None:
    chance = random.Random(3)
    for log in logs:
        scanner, found, position = Scanner(), [], 0
        while position < len(log.data):
            size = chance.choice([1, 7, 80, 1000, 5000])
            found += scanner.feed(log.data[position : position + size])
            position += size
        assert sorted(found + scanner.close(), key=lambda f: f.line) == scan(log.data), log.name


def test_damaged_logs_are_read(logs: list[Log]) -> None:
    """Truncated anywhere, bytes flipped, lines of two logs mixed: an answer, and no error."""
    chance = random.Random(4)
    for log, other in zip(logs, logs[1:] + logs[:1], strict=True):
        flipped = bytearray(log.data)
        for _ in range(len(flipped) // 100):
            flipped[chance.randrange(len(flipped))] = chance.randrange(256)
        mixed = log.data.split(b"\n") + other.data.split(b"\n")
        chance.shuffle(mixed)
        for data in (log.data[: chance.randrange(len(log.data) + 1)], bytes(flipped), b"\n".join(mixed)):
            assert all(1 <= finding.line <= data.count(b"\n") + 1 for finding in scan(data))


def test_diagnosed_hangs_show_what_their_form_has() -> None:
    """A dump that somebody asked for (sysrq) has no headline and is no finding; a report has one of its kind."""
    expected = {"hung_task": Kind.HUNG_TASK, "workqueue_lockup": Kind.WORKQUEUE_LOCKUP, "hard_lockup": Kind.HARD_LOCKUP,
                "soft_lockup": Kind.SOFT_LOCKUP, "rcu_stall": Kind.RCU_STALL,
                "page_alloc_failure": Kind.PAGE_ALLOC_FAILURE}  # fmt: skip
    for hang in read_hangs():
        kinds = {finding.kind for finding in scan(hang.data)}
        if hang.form.startswith(("sysrq", "stack")):
            assert not kinds & (CRASHES | HANGS), hang.name
        elif hang.form in expected:
            assert expected[hang.form] in kinds, hang.name
