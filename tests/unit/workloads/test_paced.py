"""The time-critical writer: how it is launched, and its writing, alone and beside another load."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from fakes import make_site, shell_of
from packed import packed

from harness.agent import agent
from harness.model.errors import InfraError, UsageError
from harness.workloads.copy import Copy
from harness.workloads.paced import SCRIPT, Paced

COPY = Copy(source="/a", target="/b", limit_s=77.0)


def test_alone_it_runs_its_time() -> None:
    site = make_site()
    load = Paced(path="/var/tmp/log", seconds=20.0)
    progress = load.prepare(site)
    load.launch(site)
    shell = shell_of(site.role("client"))
    words = shlex.split(shell.commands[-1])
    assert words[:4] == ["setsid", "python3", "-I", "-S"] and words[-1] == "&"
    assert words[4:10] == ["/run/harness/workload/paced.pyz", progress.path, "/var/tmp/log", "", "0.1", "20.0"]
    assert load.critical_tasks == ("paced",) and load.limit_s > 20.0


def test_the_load_beside_it_is_prepared_too_and_decides_how_long_it_takes() -> None:
    site = make_site()
    load = Paced(path="/var/tmp/log", beside=COPY)
    assert load.prepare(site).path != COPY.prepare(site).path
    load.launch(site)
    shell = shell_of(site.role("client"))
    assert set(shell.files) == {"/run/harness/workload/paced.pyz", "/run/harness/workload/copy.pyz"}
    words = shlex.split(shell.commands[-1])
    assert tuple(words[10 : 10 + len(COPY.command)]) == COPY.command
    assert (
        load.limit_s == 77.0 and load.critical_tasks == ("paced", "copy", "cp") and "/a copied to /b" in load.describe()
    )


def test_the_baseline_is_the_writer_alone() -> None:
    site = make_site()
    shell = shell_of(site.role("client"))
    shell.answer("paced.pyz", "27 operations in 3.000 s\n")
    assert Paced(path="/x", beside=COPY).baseline(site) == 9.0
    assert "/b" not in shell.commands[-1] and "/dev/shm/harness-baseline" in shell.commands[-1]


def test_a_baseline_without_a_write_is_none() -> None:
    site = make_site()
    shell_of(site.role("client")).answer("paced.pyz", "writer: (28)\n0 operations in 0.1 s\n")
    with pytest.raises(InfraError, match="c1: /x: no write in 3 s: writer: "):
        Paced(path="/x").baseline(site)


@pytest.mark.parametrize("given", [{"every_s": 0.0}, {"seconds": -1.0}])
def test_a_pace_that_is_none(given: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="must be more than 0"):
        Paced(path="/x", **given)  # type: ignore[arg-type]


def run(tmp_path: Path, path: Path | str, *beside: str, job: str = "") -> tuple[int, tuple[int, ...], str]:
    """Exit code, the writer's slot, what was printed."""
    progress = tmp_path / "progress"
    progress.write_bytes(b"\0" * 128)
    command = [sys.executable, "-I", "-S", packed(SCRIPT), str(progress), str(path), job, "0.02", "0.3", *beside]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, start_new_session=True)
    data = progress.read_bytes()
    assert agent.PROGRESS.unpack_from(data, 0)[:3] == (agent.PROGRESS_MAGIC, 1, 64)
    return done.returncode, agent.WORKER.unpack_from(data, 64), done.stdout


def test_every_write_is_counted_and_in_the_file(tmp_path: Path) -> None:
    code, (operations, moved, state, _), text = run(tmp_path, tmp_path / "log")
    assert (code, state) == (0, 2) and operations > 0 and moved == operations * 4096
    assert (tmp_path / "log").stat().st_size == moved and f"{operations} operations in " in text


def test_its_job_is_done_before_each_write(tmp_path: Path) -> None:
    code, (operations, _, state, _), text = run(tmp_path, tmp_path / "log", job=f"mkdir {tmp_path}/once")
    assert (code, state, operations) == (1, 3, 1), "the second time it is there"
    assert "mkdir ended with status 0x100" in text and (tmp_path / "once").is_dir()
    assert "`date` and a synchronous write" in Paced(path="/x", job="date").describe()


def test_it_ends_with_the_load_beside_it_which_is_in_its_process_group(tmp_path: Path) -> None:
    reported = tmp_path / "group"
    code, (operations, _, state, pid), _ = run(
        tmp_path, tmp_path / "log", "sh", "-c", f"ps -o pgid= $$ >{reported}; sleep 0.6"
    )
    assert (code, state) == (0, 2) and operations > 0
    assert int(reported.read_text(encoding="ascii")) == pid


@pytest.mark.parametrize("beside", ["false", "no-such-program"])
def test_a_load_beside_it_that_fails_makes_it_fail(tmp_path: Path, beside: str) -> None:
    code, slot, text = run(tmp_path, tmp_path / "log", beside)
    assert (code, slot[2]) == (1, 3) and "the load beside it ended with status" in text


@pytest.mark.parametrize("path", ["/dev/full", "/no/such/folder/log"])
def test_a_write_that_fails_makes_it_fail(tmp_path: Path, path: str) -> None:
    code, slot, text = run(tmp_path, path)
    assert (code, slot[2]) == (1, 3) and "writer: " in text
