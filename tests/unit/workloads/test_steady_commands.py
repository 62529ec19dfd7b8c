"""The steady load: how it is put in place, measured and launched."""

from __future__ import annotations

import shlex

import pytest
from fakes import make_site, shell_of

from harness.model.errors import InfraError, UsageError
from harness.site.zipapp import pack
from harness.workloads.steady import SCRIPT, Steady

WRITE = Steady(path="/mnt/file", block=4096)


def test_everything_is_in_place_before_it_is_launched() -> None:
    site = make_site()
    progress = WRITE.prepare(site)
    shell = shell_of(site.role("client"))
    assert (progress.host, progress.workers, progress.log) == ("c1", 2, "/run/harness/workload/log")
    assert f"truncate -s {64 + 2 * 64} {progress.path}" in shell.commands[0]
    assert shell.files == {"/run/harness/workload/steady.pyz": pack(SCRIPT)}


def test_the_launch_is_one_command_that_leaves_it_running_without_end() -> None:
    site = make_site()
    WRITE.launch(site)
    (launch,) = shell_of(site.role("client")).commands
    words = shlex.split(launch)
    assert words[:5] == ["setsid", "python3", "-I", "-S", "/run/harness/workload/steady.pyz"]
    assert words[5:11] == ["/dev/shm/harness-progress", "2", "write", "/mnt/file", "4096", "0"]
    assert words[-1] == "&" and "</dev/null" in words and "2>&1" in words


def test_the_baseline_is_the_load_itself_with_a_progress_file_of_its_own() -> None:
    site = make_site()
    shell = shell_of(site.role("client"))
    shell.answer("steady.pyz", "worker 1: odd\n6000 operations in 3.000 s\n")
    assert WRITE.baseline(site) == 2000.0
    make, measure = shell.commands
    assert "/dev/shm/harness-baseline" in make and "/dev/shm/harness-progress" not in make + measure
    assert shlex.split(measure)[-1] == "3.0" and "&" not in measure


@pytest.mark.parametrize("text", ["", "0 operations in 3.000 s\n", "killed"])
def test_a_baseline_without_any_work_is_none(text: str) -> None:
    site = make_site()
    shell_of(site.role("client")).answer("steady.pyz", text)
    with pytest.raises(InfraError, match=r"c1: .*nothing done in 3 s"):
        WRITE.baseline(site)


def test_every_processor_is_busy() -> None:
    site = make_site()
    assert Steady(mode="spin", workers=1).prepare(site).workers == 2
    assert Steady(mode="fork", workers=1).prepare(site).workers == 1


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"mode": "sleep"}, "no mode 'sleep'; the modes are: write, fsync, fork, spin"),
        ({"mode": "write"}, "`path` is for the modes write and fsync"),
        ({"mode": "spin", "path": "/x"}, "`path` is for the modes write and fsync"),
        ({"path": "/x", "block": 1000}, "a block of 1000 bytes"),
        ({"path": "/x", "block": 0}, "a block of 0 bytes"),
        ({"path": "/x", "block": 3 * 4096}, "a block of 12288 bytes"),
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, object], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        Steady(**given)  # type: ignore[arg-type]


def test_what_it_says_of_itself() -> None:
    assert WRITE.critical_tasks == ("steady",) and "write to /mnt/file" in WRITE.describe()
    assert Steady(mode="fork").critical_tasks == ("steady", "true")
