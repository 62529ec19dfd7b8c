"""The dirtier: how it is put in place and launched, and what it refuses."""

from __future__ import annotations

import shlex

import pytest
from fakes import make_site, shell_of

from harness.model.errors import UsageError
from harness.model.topology import MIB
from harness.site.zipapp import pack
from harness.workloads.dirty import SCRIPT, Dirty

LOAD = Dirty(path="/mnt/file", mode="mmap", workers=3, ratio=0.5, block=8192, seconds=12.5)


def test_everything_is_in_place_before_it_is_launched() -> None:
    site = make_site()
    progress = LOAD.prepare(site)
    shell = shell_of(site.role("client"))
    assert (progress.host, progress.workers, progress.log) == ("c1", 3, "/run/harness/workload/log")
    assert f"truncate -s {64 + 3 * 64} {progress.path}" in shell.commands[0]
    assert shell.files == {"/run/harness/workload/dirty.pyz": pack(SCRIPT)}


def test_the_launch_is_one_command_that_leaves_it_running() -> None:
    site = make_site()
    LOAD.launch(site)
    (launch,) = shell_of(site.role("client")).commands
    words = shlex.split(launch)
    each = 256 * MIB // 2 // 3 // 8192 * 8192
    assert words[:5] == ["setsid", "python3", "-I", "-S", "/run/harness/workload/dirty.pyz"]
    assert words[5:12] == ["/dev/shm/harness-progress", "3", "mmap", "/mnt/file", str(each), "8192", "12.5"]
    assert words[-1] == "&" and "</dev/null" in words and "2>&1" in words


def test_a_share_smaller_than_a_block_is_a_block() -> None:
    site = make_site()
    Dirty(path="/dev/x", ratio=1e-6).launch(site)
    assert shlex.split(shell_of(site.role("client")).commands[0])[9] == "65536"


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"mode": "erase"}, "no mode 'erase'; the modes are: write, mmap, sync, direct"),
        ({"block": 1000}, "a block of 1000 bytes"),
        ({"block": 0}, "a block of 0 bytes"),
        ({"ratio": 0.0}, "more than 0"),
        ({"seconds": 0.0}, "more than 0"),
        ({"workers": 0}, "more than 0"),
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, object], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        Dirty(path="/x", **given)  # type: ignore[arg-type]


def test_what_it_says_of_itself() -> None:
    assert LOAD.critical_tasks == ("dirty",) and LOAD.baseline(make_site()) is None
    assert "0.5 × memory in /mnt/file (mmap)" in LOAD.describe()
