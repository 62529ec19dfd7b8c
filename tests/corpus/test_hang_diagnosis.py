"""The diagnosis against hangs of which kernel developers have said, in public, what they were.

The corpus lies outside the repository: `$HARNESS_CORPUS`, or `../shared/corpus` beside the checkout. The aims are the
project's: no confident wrong class, and the right class for at least 10 of the 16 hangs. `UNKNOWN` is right where the
conclusion is a bug of a kind that has no class, or where the log does not carry it.
"""

from __future__ import annotations

import os
import random
import re
from pathlib import Path
from unittest import mock

import pytest

from harness.diagnosis import Reader
from harness.diagnosis.read.parser import Parser
from harness.diagnosis.reader import read_facts
from harness.model.diagnosis import Confidence, Diagnosis
from harness.model.hang_classes import HangClass

CORPUS = Path(os.environ.get("HARNESS_CORPUS") or Path(__file__).parents[3] / "shared" / "corpus")
pytestmark = pytest.mark.skipif(
    not (CORPUS / "hangs").is_dir(),
    reason=f"no corpus at {CORPUS}: set HARNESS_CORPUS to a folder with console.tsv, console/ and hangs/",
)

# What the line `# concluded:` of each log says, as a class.
CONCLUDED = {
    "03-nfs-loopback-shrinker-rwsem-nfsd-mutex": HangClass.LOOPBACK_NFS_RECLAIM,
    "04-nfsd4-laundromat-shutdown-callback": HangClass.UNKNOWN,
    "05-nfsd-write-rwsem-after-callback-storm": HangClass.PROCESSOR_STUCK,
    "06-nfsd-filecache-mark-soft-lockup": HangClass.PROCESSOR_STUCK,
    "09-nfs4-mount-dead-server-blocks-others": HangClass.NFS_SERVER_UNREACHABLE,
    "11-nfs-umount-server-turned-off": HangClass.NFS_SERVER_UNREACHABLE,
    "12-nfs-write-io-request-leak": HangClass.UNKNOWN,
    "15-loop-global-workqueue-recursion-max-active": HangClass.WORKQUEUE_STARVATION,
    "16-loop-swapfile-ext4-journal-reclaim-cycle": HangClass.JOURNAL_COMMIT_STUCK,
    "17-xfs-writeback-memcg-reclaim-page-lock": HangClass.MEMCG_RECLAIM,
    "19-xfs-buf-alloc-congestion-wait-bulk-allocator": HangClass.UNKNOWN,
    "20-iscsi-target-two-threads-free-session": HangClass.UNKNOWN,
    "23-md-on-dm-integrity-overlapping-io": HangClass.BLOCK_REQUEST_STUCK,
    "24-xfs-dm-writecache-raid5-overload": HangClass.BLOCK_REQUEST_STUCK,
    "27-blk-mq-dispatch-loop-workqueue-lockup": HangClass.WORKQUEUE_STARVATION,
    "28-qla2xxx-abort-hard-lockup": HangClass.PROCESSOR_STUCK,
}
NO_HANG = ("01-slow-disk-writeback-benign", "03-swap-over-nfs-order0-failure")
CONFIDENT = (Confidence.HIGH, Confidence.MEDIUM)


def log(name: str) -> bytes:
    """A log without the lines that hold its answer."""
    lines = (CORPUS / "hangs" / f"{name}.log").read_bytes().split(b"\n")
    return b"\n".join(line for line in lines if not line.startswith(b"#"))


def diagnose(data: bytes) -> Diagnosis | None:
    reader = Reader()
    reader.feed(data)
    return reader.close()


def present() -> dict[str, HangClass]:
    return {name: known for name, known in CONCLUDED.items() if (CORPUS / "hangs" / f"{name}.log").is_file()}


def test_no_class_is_wrong_and_confident() -> None:
    wrong = {}
    for name, known in present().items():
        found = diagnose(log(name))
        if found is not None and found.confidence in CONFIDENT and found.hang_class is not known:
            wrong[name] = (found.hang_class, found.confidence)
    assert not wrong


def test_at_least_ten_of_sixteen_classes_are_right() -> None:
    known = present()
    found = {name: diagnose(log(name)) for name in known}
    right = [name for name, diagnosis in found.items() if diagnosis and diagnosis.hang_class is known[name]]
    assert len(right) >= 10 / 16 * len(known), sorted(set(known) - set(right))


def test_named_classes_alone_are_right_for_most() -> None:
    """Saying "unknown" of everything would pass for the logs whose conclusion has no class; this counts the others."""
    known = {name: hang for name, hang in present().items() if hang is not HangClass.UNKNOWN}
    right = [name for name, hang in known.items() if (found := diagnose(log(name))) and found.hang_class is hang]
    assert len(right) >= 0.8 * len(known), sorted(set(known) - set(right))


@pytest.mark.parametrize("name", NO_HANG)
def test_what_only_looks_like_a_hang_is_not_called_one(name: str) -> None:
    if not (CORPUS / "hangs" / f"{name}.log").is_file():
        pytest.skip(f"no {name} in {CORPUS}")
    found = diagnose(log(name))
    assert found is None or found.hang_class is HangClass.SLOW_NOT_STUCK or found.confidence is Confidence.LOW


def test_every_piece_of_evidence_stands_where_it_is_said_to() -> None:
    for path in (CORPUS / "hangs").glob("*.log"):
        data = log(path.stem)
        lines = data.decode("utf-8", "replace").split("\n")
        found = diagnose(data)
        for cited in (*found.evidence, *(one for edge in found.edges for one in edge.evidence)) if found else ():
            assert re.search(rf"\b{re.escape(cited.frame)}", lines[cited.line - 1]), (path.name, cited)


def test_the_cuts_between_reads_change_nothing() -> None:
    chance = random.Random(7)
    for path in (CORPUS / "hangs").glob("*.log"):
        data = log(path.stem)
        reader, position = Reader(), 0
        while position < len(data):
            size = chance.choice([1, 9, 90, 2000])
            reader.feed(data[position : position + size])
            position += size
        assert reader.close() == diagnose(data), path.name


def test_lines_that_are_passed_over_say_nothing() -> None:
    for path in sorted((CORPUS / "hangs").glob("*.log")) + sorted((CORPUS / "console").iterdir()):
        data = path.read_bytes()
        with mock.patch.object(Parser, "idle", False):
            whole = read_facts(data, path.name)
        assert read_facts(data, path.name) == whole, path.name


def test_logs_without_a_hang_have_no_diagnosis() -> None:
    """Crashes, warnings and boots of the console corpus: nothing in them waits."""
    rows = (CORPUS / "console.tsv").read_text(encoding="utf-8").splitlines()
    head = rows[0].split("\t")
    wrong = {}
    for row in (dict(zip(head, row.split("\t"), strict=False)) for row in rows[1:]):
        if row["category"] in ("hung_task", "lockup_stall", "lockdep"):
            continue
        lines = (CORPUS / "console" / row["file"]).read_bytes().replace(b"\r", b"").split(b"\n")
        found = diagnose(b"\n".join(lines[lines.index(b"") + 1 :]))
        if found is not None:
            wrong[row["file"]] = found.title
    assert not wrong
