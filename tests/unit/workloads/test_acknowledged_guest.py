"""The writers themselves, for a moment: what they note, and that what is missing afterwards is found."""

from __future__ import annotations

import errno
import json
import mmap
import subprocess
import sys
from pathlib import Path

import pytest
from packed import packed

from harness.agent import agent
from harness.guest.progress import FAILED, Slot, size_of
from harness.workloads.acknowledged import SCRIPT
from harness.workloads.guest import acknowledged as guest
from harness.workloads.guest.acknowledged_record import Entry, Record
from harness.workloads.guest.acknowledged_record import size_of as record_size

WORKERS, CAPACITY = 2, 40


def script(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-S", packed(SCRIPT), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, start_new_session=True, check=True)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    sizes = {"progress": size_of(WORKERS), "record": record_size(WORKERS, CAPACITY)}
    for name, size in sizes.items():
        (tmp_path / name).write_bytes(b"\0" * size)
    return {"progress": tmp_path / "progress", "record": tmp_path / "record", "folder": tmp_path / "load"}


@pytest.fixture
def written(files: dict[str, Path]) -> dict[str, Path]:
    script("write", files["progress"], files["record"], files["folder"], 1, 1, 100, 5)
    return files


def reported(files: dict[str, Path]) -> dict[str, dict[str, object]]:
    return {entry["name"]: entry for entry in json.loads(script("tell", files["record"]).stdout)}


def missing(files: dict[str, Path], *pairs: object) -> dict[str, list[int]]:
    found: dict[str, list[int]] = json.loads(script("check", files["folder"], *pairs).stdout)
    return found


def test_every_acknowledged_write_is_noted_and_read_back(written: dict[str, Path]) -> None:
    for entry in reported(written).values():
        assert (entry["acknowledged"], entry["checked"], entry["lost"]) == (CAPACITY, CAPACITY, 0)
        assert (entry["refused"], entry["error"], entry["over"], entry["pauses"]) == (0, "", 1, [])


def test_the_agent_counts_a_write_and_its_check_and_sees_the_end(written: dict[str, Path]) -> None:
    reader = agent.Agent.__new__(agent.Agent)
    reader.progress = None
    reader.open_progress(str(written["progress"]))
    totals = reader.read_progress()
    assert totals is not None and totals[0] == 2 * WORKERS * CAPACITY and totals[2:5] == [WORKERS, 2, 0]


def test_nothing_is_missing_where_nothing_was_done(written: dict[str, Path]) -> None:
    pairs = ("writer-0", CAPACITY, "creator-0", CAPACITY)
    assert missing(written, *pairs) == {"writer-0": [], "creator-0": []}


def test_what_was_cut_off_changed_or_removed_is_missing(written: dict[str, Path]) -> None:
    folder = written["folder"]
    with (folder / "writer-0").open("r+b") as file:
        file.truncate((CAPACITY - 2) * guest.BLOCK)
        file.seek(3 * guest.BLOCK + 777)
        file.write(b"?")
    (folder / "creator-0" / "5").unlink()
    (folder / "creator-0" / "6").write_bytes(b"")
    (folder / "creator-0" / "7").write_bytes(guest.block("creator-0", 8))
    pairs = ("writer-0", CAPACITY, "creator-0", CAPACITY)
    assert missing(written, *pairs) == {"writer-0": [3, CAPACITY - 2, CAPACITY - 1], "creator-0": [5, 6, 7]}


def test_what_was_never_there_is_missing(written: dict[str, Path]) -> None:
    assert missing(written, "writer-9", 2) == {"writer-9": [0, 1]}


def worker(files: dict[str, Path], name: str = "writer-0") -> guest.Worker:
    files["folder"].mkdir(exist_ok=True)
    record = Record(str(files["record"]), WORKERS)
    return guest.Worker(Slot(mmap.mmap(-1, size_of(WORKERS)), 0), record, 0, str(files["folder"]), name)


class Refusing:
    """A target that refuses the first writes."""

    def __init__(self, refusals: int) -> None:
        self.refusals, self.dropped, self.done = refusals, 0, list[int]()

    def write(self, number: int, data: bytes) -> None:
        if self.refusals:
            self.refusals -= 1
            raise OSError(errno.EIO, "lost lock")
        self.done.append(number)

    def drop(self) -> None:
        self.dropped += 1


def test_a_refused_write_is_counted_and_tried_again(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest, "RETRY_S", 0.0)
    one, target = worker(files), Refusing(3)
    one.target = target  # type: ignore[assignment]
    one.write_one()
    one.write_one()
    entry = one.record.get(0)
    assert (entry.acknowledged, entry.refused, entry.errno) == (2, 3, errno.EIO)
    assert target.done == [0, 1] and target.dropped == 3


def test_a_worker_that_is_refused_for_good_fails(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest, "RETRY_S", 0.0)
    one = worker(files)
    one.target = Refusing(1000)  # type: ignore[assignment]
    assert one.run(per_second=100.0, seconds=5.0) is False
    assert one.record.get(0).refused == guest.PATIENCE and one.record.get(0).over == 0
    assert agent.WORKER.unpack_from(one.slot.words)[2] == FAILED


def test_two_writers_of_one_file_cannot_both_have_its_lock(files: dict[str, Path]) -> None:
    files["folder"].mkdir()
    mine = guest.Writer(str(files["folder"]), "writer-0")
    mine.write(0, guest.block("writer-0", 0))
    code = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'r+b'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    other = subprocess.run([sys.executable, "-c", code, mine.path], capture_output=True, text=True, check=False)
    assert other.returncode != 0 and "BlockingIOError" in other.stderr
    mine.drop()


def test_pauses_count_from_the_launch_to_the_end_and_short_ones_do_not() -> None:
    entry = Entry("writer-0")
    entry.launch, entry.end = 100.0, 130.0
    assert guest.pauses(entry, [100.1, 100.3, 110.3, 110.4], now=999.0) == [(0.3, 10.0), (10.4, 19.6)]


def test_a_pause_that_has_not_ended_lasts_until_now() -> None:
    entry = Entry("writer-0")
    entry.launch = 100.0
    assert guest.pauses(entry, [100.2], now=107.2) == [(0.2, 7.0)]


def test_no_two_writes_have_the_same_content() -> None:
    blocks = {guest.block(name, number) for name in ("writer-0", "creator-0") for number in range(50)}
    assert len(blocks) == 100 and {len(block) for block in blocks} == {guest.BLOCK}
