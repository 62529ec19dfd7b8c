"""Copies: how they are launched, and the copying itself."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from fakes import make_site, shell_of
from packed import packed

from harness.agent import agent
from harness.model.errors import UsageError
from harness.site.zipapp import pack
from harness.workloads.copy import METHODS, SCRIPT, Copy

SIZE = 3 * 1024 * 1024 + 4096 + 100  # neither whole blocks nor whole pages


def test_it_is_launched_as_one_command_with_a_progress_file_of_its_own() -> None:
    site = make_site()
    load = Copy(method="direct", source="/a", target="/b")
    progress = load.prepare(site)
    load.launch(site)
    shell = shell_of(site.role("client"))
    assert (progress.host, progress.workers) == ("c1", 1) and progress.path == "/dev/shm/harness-copy"
    assert shell.files == {"/run/harness/workload/copy.pyz": pack(SCRIPT)}
    words = shlex.split(shell.commands[-1])
    assert words[:1] == ["setsid"] and words[-1] == "&"
    assert tuple(words[1:9]) == load.command and words[5:9] == [progress.path, "direct", "/a", "/b"]


def test_a_method_that_there_is_not() -> None:
    with pytest.raises(UsageError, match="no method 'rsync'; the methods are: cp, shutil, direct"):
        Copy(method="rsync", source="/a", target="/b")


def test_what_it_says_of_itself() -> None:
    load = Copy(method="cp", source="/a", target="/b")
    assert (
        load.describe() == "/a copied to /b (cp)"
        and load.critical_tasks == ("copy", "cp")
        and load.baseline(make_site()) is None
    )


def run(tmp_path: Path, method: str, source: Path, target: Path) -> tuple[int, tuple[int, ...], str]:
    """Exit code, the worker's slot, what was printed."""
    progress = tmp_path / "progress"
    progress.write_bytes(b"\0" * 128)
    command = [sys.executable, "-I", "-S", packed(SCRIPT), *map(str, (progress, method, source, target))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, start_new_session=True)
    data = progress.read_bytes()
    assert agent.PROGRESS.unpack_from(data, 0)[:3] == (agent.PROGRESS_MAGIC, 1, 64)
    return done.returncode, agent.WORKER.unpack_from(data, 64), done.stdout


@pytest.mark.parametrize("method", METHODS)
def test_the_copy_is_what_was_copied_and_its_pages_are_counted(tmp_path: Path, method: str) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(os.urandom(SIZE))
    target.write_bytes(b"an older and shorter one")
    code, slot, text = run(tmp_path, method, source, target)
    assert code == 0, text
    assert target.read_bytes() == source.read_bytes()
    assert slot[:3] == (SIZE // 4096, SIZE, 2) and f"{method}: {SIZE} bytes in " in text


@pytest.mark.parametrize("method", METHODS)
def test_a_copy_that_fails_is_a_worker_that_failed(tmp_path: Path, method: str) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"something")
    code, slot, text = run(tmp_path, method, source, tmp_path / "no folder" / "target")
    assert code == 1 and slot[2] == 3 and "status" in text
