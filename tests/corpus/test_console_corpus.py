"""The scanner against consoles that nobody here wrote, with known answers.

The corpus lies outside the repository: `$HARNESS_CORPUS`, or `../shared/corpus` beside the checkout. Its aims are
the project's: at least 95 % right in category, no crash where there was none, at least 90 % of hang functions right.
"""

from __future__ import annotations

import csv
import os
import random
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.model.finding import CRASHES, LOCKUPS, Finding
from harness.model.finding import FindingKind as Kind
from harness.verdicts.console import Scanner, decisive, scan

CORPUS = Path(os.environ.get("HARNESS_CORPUS") or Path(__file__).parents[3] / "shared" / "corpus")
pytestmark = pytest.mark.skipif(
    not (CORPUS / "console.tsv").is_file(),
    reason=f"no corpus at {CORPUS}: set HARNESS_CORPUS to a folder with console.tsv, console/ and hangs/",
)

CATEGORY: dict[Kind | str, str] = {
    Kind.HUNG_TASK: "hung_task", Kind.SOFT_LOCKUP: "lockup_stall", Kind.HARD_LOCKUP: "lockup_stall",
    Kind.RCU_STALL: "lockup_stall", Kind.WORKQUEUE_LOCKUP: "lockup_stall", Kind.PANIC: "panic_oops",
    Kind.OOPS: "panic_oops", Kind.SANITIZER: "sanitizer", Kind.WARNING: "warning", Kind.LOCKDEP: "lockdep",
    Kind.ATOMIC_SLEEP: "atomic_sleep", Kind.MEMORY_LEAK: "memory_leak", Kind.REBOOT: "reboot",
}  # fmt: skip
HANGS = LOCKUPS | {Kind.HUNG_TASK, Kind.WORKQUEUE_LOCKUP}


@dataclass(frozen=True)
class Log:
    """One log of the corpus: its answer, and the bytes that the code under test may see."""

    name: str
    category: str
    corrupted: bool
    functions: frozenset[str]
    data: bytes


def read_log(row: dict[str, str]) -> Log:
    lines = (CORPUS / "console" / row["file"]).read_bytes().replace(b"\r", b"").split(b"\n")
    start = lines.index(b"")
    body = lines[start + 1 :]
    ends = [index for index, line in enumerate(body) if line == b"REPORT:" and index and body[index - 1] == b""]
    titles = re.findall(r"^(?:TITLE|ALT): .* (\S+)$", b"\n".join(lines[:start]).decode(), re.MULTILINE)
    return Log(
        row["file"], row["category"], row["corrupted"] == "Y", frozenset(titles),
        b"\n".join(body[: ends[0]] if ends else body),
    )  # fmt: skip


@pytest.fixture(scope="module")
def logs() -> list[Log]:
    with (CORPUS / "console.tsv").open(encoding="utf-8") as table:
        return [read_log(row) for row in csv.DictReader(table, delimiter="\t")]


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


@pytest.mark.parametrize("kinds", ["hung_task", "lockup_stall"])
def test_at_least_90_percent_of_hang_functions_are_right(logs: list[Log], kinds: str) -> None:
    hangs = [log for log in logs if log.category == kinds and not log.corrupted]
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


def hang_log(path: Path) -> list[Finding]:
    lines = path.read_bytes().split(b"\n")
    return scan(b"\n".join(line for line in lines if not line.startswith(b"#")))


def test_diagnosed_hangs_show_what_their_form_has() -> None:
    """A dump that somebody asked for (sysrq) has no headline and is no finding; a report has one of its kind."""
    expected = {"hung_task": Kind.HUNG_TASK, "workqueue_lockup": Kind.WORKQUEUE_LOCKUP, "hard_lockup": Kind.HARD_LOCKUP,
                "soft_lockup": Kind.SOFT_LOCKUP, "page_alloc_failure": Kind.PAGE_ALLOC_FAILURE}  # fmt: skip
    for path in sorted((CORPUS / "hangs").glob("*.log")):
        form = re.search(rb"^# kind: (\w+)", path.read_bytes(), re.MULTILINE)
        assert form is not None
        kinds = {finding.kind for finding in hang_log(path)}
        if form[1].startswith((b"sysrq", b"stack")):
            assert not kinds & (CRASHES | HANGS), path.name
        elif form[1].decode() in expected:
            assert expected[form[1].decode()] in kinds, path.name
