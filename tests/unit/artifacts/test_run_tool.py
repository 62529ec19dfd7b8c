"""Running tools: logs, failures by blame, and nothing left behind."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.artifacts.run_tool import PACKAGES, CommandFailed, find_tool, read_tool, run_tool
from harness.model.errors import HostEnvironmentError


def test_output_goes_to_the_log_and_to_the_watcher(tmp_path: Path) -> None:
    log, seen = tmp_path / "log", list[str]()
    run_tool(["sh", "-c", "echo one; echo two >&2"], log=log, on_line=seen.append)
    assert seen == ["one", "two"]
    assert log.read_text().splitlines() == ["+ sh -c echo one; echo two >&2", "one", "two"]


def test_a_failure_says_the_telling_line_and_where_the_log_is(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with pytest.raises(CommandFailed, match=r"sh failed \(status 3\): E: no such suite") as failed:
        run_tool(["sh", "-c", "echo 'E: no such suite'; echo cleaning up; exit 3"], log=log)
    assert (failed.value.status, failed.value.log) == (3, log)


def test_a_full_disk_is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(OSError) as failed:
        run_tool(["sh", "-c", "echo 'tar: x: No space left on device'; exit 2"], log=tmp_path / "log")
    assert failed.value.errno == errno.ENOSPC


def test_a_missing_tool_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.artifacts.run_tool.SEARCH_PATH", "/nowhere")
    with pytest.raises(HostEnvironmentError, match=r"qemu-img is not installed; .*apt-get install qemu-utils"):
        find_tool("qemu-img")
    assert PACKAGES["mmdebstrap"] == "mmdebstrap"


def test_read_tool_gives_the_output_or_fails() -> None:
    assert read_tool(["sh", "-c", "echo $LC_ALL"]) == "C.UTF-8\n"
    with pytest.raises(CommandFailed, match=r"status 1.*wrong"):
        read_tool(["sh", "-c", "echo wrong >&2; exit 1"])


# As mmdebstrap does: the first process ignores SIGTERM and waits for a worker that does not.
WORKER_AND_WAITER = "sleep 1000 & worker=$!; trap '' TERM; echo $worker $$; wait"
STUBBORN = "trap '' TERM; sleep 1000 & echo $! $$; wait"


@pytest.mark.parametrize(("script", "grace"), [(WORKER_AND_WAITER, 30), (STUBBORN, 0)])
def test_an_interrupt_ends_the_tool_and_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, grace: int
) -> None:
    monkeypatch.setattr("harness.artifacts.run_tool.GRACE_S", grace)
    pids = tmp_path / "pids"

    def interrupt(line: str) -> None:
        pids.write_text(line)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_tool(["sh", "-c", script], log=tmp_path / "log", on_line=interrupt)
    assert _all_gone(pids.read_text())


def test_kill_of_the_caller_ends_the_tool_and_its_children(tmp_path: Path) -> None:
    program = f"""
from pathlib import Path
from harness.artifacts.run_tool import run_tool
log = Path({str(tmp_path / "log")!r})
run_tool(["sh", "-c", {WORKER_AND_WAITER!r}], log=log, on_line=lambda line: print(line, flush=True))
"""
    caller = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert caller.stdout is not None
    pids = caller.stdout.readline()
    os.kill(caller.pid, signal.SIGKILL)
    caller.wait()
    caller.stdout.close()
    assert _all_gone(pids)


def _all_gone(pids: str) -> bool:
    """Whether all processes end; signals need a moment to arrive."""
    assert pids.split()
    for _ in range(1000):
        if not any(_runs(pid) for pid in pids.split()):
            return True
        time.sleep(0.01)
    return False


def _runs(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
