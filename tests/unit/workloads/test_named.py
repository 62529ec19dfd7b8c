"""fio and stress-ng by name: how they are launched, and how what they do is counted."""

from __future__ import annotations

import io
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from fakes import agent_of, make_site, shell_of
from packed import packed

from harness.agent import agent
from harness.model.errors import InfraError, UsageError
from harness.model.measure import Measure
from harness.site.zipapp import pack
from harness.workloads.guest import named
from harness.workloads.named import SCRIPT, Fio, StressNg

FIO = Fio(path="/mnt/file", workers=3, seconds=20.0, options={"bs": "4k", "direct": 1})
STRESS = StressNg(stressor="vm", options={"vm-bytes": "64M", "vm-keep": True})


def test_the_launch_is_one_command_with_the_options_of_the_case() -> None:
    site = make_site()
    progress = FIO.prepare(site)
    FIO.launch(site)
    shell = shell_of(site.role("client"))
    assert progress.workers == 3 and f"truncate -s {64 + 3 * 64}" in shell.commands[0]
    assert shell.files == {"/run/harness/workload/named.pyz": pack(SCRIPT)}
    words = shlex.split(shell.commands[-1])
    assert words[0] == "setsid" and words[-1] == "&" and words[5:8] == [progress.path, "3", "fio"]
    assert {"--filename=/mnt/file-{}", "--runtime=20", "--status-interval=1", "--bs=4k", "--direct=1"} <= set(words)


def test_a_stressor_with_its_options() -> None:
    site = make_site()
    STRESS.launch(site)
    words = shlex.split(shell_of(site.role("client")).commands[-1])
    text = " ".join(words[7:])
    assert text.startswith("stress-ng --vm 1 --timeout 60 ") and " --vm-bytes 64M --vm-keep >" in text
    assert STRESS.critical_tasks == ("named", "stress-ng") and "2 × stress-ng --vm 1" in STRESS.describe()


def test_the_baseline_is_the_load_itself_for_a_few_seconds() -> None:
    site = make_site()
    shell = shell_of(site.role("client"))
    shell.answer("named.pyz", "5000 operations in 5.000 s\n0 bogus operations\n")
    assert FIO.baseline(site) == 1000.0
    assert "--runtime=5 " in shell.commands[-1] and "/dev/shm/harness-baseline" in shell.commands[-1]


@pytest.mark.parametrize("text", ["0 operations in 5.0 s\n", "stress-ng: error: no such option\n"])
def test_a_load_whose_work_cannot_be_seen_is_refused(text: str) -> None:
    site = make_site()
    shell_of(site.role("client")).answer("named.pyz", text)
    with pytest.raises(InfraError, match=r"c1: .*--cpu 1.*no page moved in 5 s"):
        StressNg(stressor="cpu").baseline(site)


@pytest.mark.parametrize("given", [{"workers": 0}, {"seconds": 0.0}])
def test_a_load_that_is_none(given: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="give 1 or more of each"):
        StressNg(stressor="vm", **given)  # type: ignore[arg-type]


def test_the_bogus_operations_are_a_figure_once_it_is_over(tmp_path: Path) -> None:
    site = make_site()
    log = agent_of(site.role("client")).replies
    log["read"] = "100 operations in 1.0 s\n"
    assert STRESS.measures(site, tmp_path) == []
    log["read"] = "100 operations in 1.0 s\n7 bogus operations\n"
    assert STRESS.measures(site, tmp_path) == [Measure(name="bogus operations", value=7)]


REPORT = (
    '{\n  "jobs" : [\n    {"read": {"io_bytes": 4096}, "write": {"io_bytes": 8192}, "trim": {"io_bytes": 0}}\n  ]\n}\n'
)


def test_every_whole_report_of_fio_is_read() -> None:
    stream = io.StringIO("fio: a remark\n" + REPORT + "{\n  cut short\n" + REPORT + "{\n  not json\n}\n" + REPORT)
    assert [named.moved_by_fio(document) for document in named.documents(stream)] == [12288] * 3
    assert named.moved_by_fio({"disk_util": []}) == 0


def test_the_kernel_counts_what_a_process_reads_and_faults_in() -> None:
    before = named.moved_by(os.getpid())
    Path(__file__).read_bytes()
    area = bytearray(64 * 4096)
    assert named.moved_by(os.getpid()) - before >= Path(__file__).stat().st_size and len(area)
    assert named.moved_by(2**22 + 1) == 0


def run(tmp_path: Path, tool: str, body: str, *arguments: str) -> tuple[int, list[tuple[int, ...]], str]:
    """A tool of that name that is a shell script; exit code, slots, what was printed."""
    path, progress = tmp_path / tool, tmp_path / "progress"
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(0o755)
    progress.write_bytes(b"\0" * (64 + 2 * 64))
    command = [sys.executable, "-I", "-S", packed(SCRIPT), str(progress), "2", str(path), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, start_new_session=True)
    data = progress.read_bytes()
    assert agent.PROGRESS.unpack_from(data, 0)[:3] == (agent.PROGRESS_MAGIC, 2, 64)
    return done.returncode, [agent.WORKER.unpack_from(data, 64 + worker * 64) for worker in range(2)], done.stdout


def test_every_process_of_fio_has_a_slot_of_its_own(tmp_path: Path) -> None:
    body = f"cat <<'END'\n{REPORT}END\ntouch {tmp_path}/seen-$1"
    code, slots, text = run(tmp_path, "fio", body, "{}")
    assert code == 0 and [slot[:3] for slot in slots] == [(3, 12288, 2)] * 2 and "6 operations in" in text
    assert {path.name for path in tmp_path.glob("seen-*")} == {"seen-0", "seen-1"}


def test_a_stressor_is_counted_with_its_children_and_tells_its_own_operations(tmp_path: Path) -> None:
    body = f"echo '      bogo-ops: 21' >$2\nsh -c 'cat {sys.executable} >/dev/null; sleep 1.2'"
    code, slots, text = run(tmp_path, "stress-ng", body, "--yaml", f"{tmp_path}/yaml-{{}}")
    assert code == 0 and "42 bogus operations" in text
    assert all(slot[0] >= Path(sys.executable).stat().st_size // 4096 and slot[2] == 2 for slot in slots)


@pytest.mark.parametrize("tool", ["fio", "stress-ng"])
def test_a_tool_that_fails_makes_its_workers_fail(tmp_path: Path, tool: str) -> None:
    code, slots, text = run(tmp_path, tool, "exit 3")
    assert code == 1 and [slot[2] for slot in slots] == [3, 3] and "ended with status 3" in text
