"""The progress file as scripts write it, and as the agent reads it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from forked import again_and_again

from harness.agent import agent
from harness.guest import progress
from harness.guest.progress import ProgressFile


def test_the_agent_and_the_scripts_agree_on_the_layout() -> None:
    assert progress.MAGIC == agent.PROGRESS_MAGIC
    assert progress.HEADER.format == agent.PROGRESS.format
    assert progress.WORKER.format == agent.WORKER.format
    assert progress.WORKER.size <= progress.SLOT_SIZE and progress.HEADER.size <= progress.FIRST


@pytest.fixture
def file(tmp_path: Path) -> ProgressFile:
    (tmp_path / "progress").write_bytes(bytes(progress.size_of(2)))
    return ProgressFile(str(tmp_path / "progress"), 2)


def test_the_agent_reads_what_the_workers_count(file: ProgressFile, tmp_path: Path) -> None:
    reader = agent.Agent.__new__(agent.Agent)
    reader.progress = None
    reader.open_progress(str(tmp_path / "progress"))
    before = reader.read_progress()
    assert before is None or before[0] == 0
    file.slot(0).add(2, 8192)
    second = file.slot(1)
    second.add(1, 10)
    second.add(4, 30)
    file.announce()
    reader.open_progress(str(tmp_path / "progress"))
    found = reader.read_progress()
    assert found is not None and found[:3] == [7, 8232, 2] and file.total() == 7
    assert agent.PROGRESS.unpack_from(file.memory, 0)[3] == os.getpgrp()


def test_nobody_sees_half_of_what_is_counted(file: ProgressFile) -> None:
    slot = file.slot(0)
    slot.count(7, 7 * 4096)
    slot.show(progress.RUNNING, 4711)
    with again_and_again(lambda: slot.show(progress.RUNNING, 4711)):
        seen = {agent.WORKER.unpack_from(file.memory, slot.offset) for _ in range(200_000)}
    assert seen == {(7, 7 * 4096, progress.RUNNING, 4711)}


@pytest.mark.parametrize(("problem", "state"), [(None, progress.FINISHED), (MemoryError("none"), progress.FAILED)])
def test_a_worker_says_how_it_ended(
    file: ProgressFile, capsys: pytest.CaptureFixture[str], problem: Exception | None, state: int
) -> None:
    slot = file.slot(1)

    def work() -> None:
        assert agent.WORKER.unpack_from(file.memory, slot.offset)[2] == progress.RUNNING
        slot.add(3, 12288)
        if problem is not None:
            raise problem

    assert slot.work("worker 1", work) is (problem is None)
    assert agent.WORKER.unpack_from(file.memory, slot.offset) == (3, 12288, state, os.getpid())
    assert ("worker 1: MemoryError" in capsys.readouterr().out) is (problem is not None)
