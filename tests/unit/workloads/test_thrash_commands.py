"""Swap thrash: how it is put in place and launched."""

from __future__ import annotations

import shlex

import pytest
from fakes import make_site, make_topology, shell_of

from harness.model.errors import UsageError
from harness.model.topology import MIB
from harness.site.zipapp import pack
from harness.workloads.base import TimeLimited
from harness.workloads.thrash import SCRIPT, SwapThrash


def test_everything_is_in_place_before_it_is_launched() -> None:
    site = make_site()
    load = SwapThrash(processes_per_cpu=8)
    progress = load.prepare(site)
    shell = shell_of(site.role("client"))
    assert (progress.host, progress.workers, progress.log) == ("c1", 16, "/run/harness/workload/log")
    (prepare,) = shell.commands
    assert f"truncate -s {64 + 16 * 64} {progress.path}" in prepare
    assert shell.files == {"/run/harness/workload/thrash.pyz": pack(SCRIPT)}


def test_the_launch_is_one_command_that_leaves_it_running() -> None:
    site = make_site(make_topology())
    load = SwapThrash(processes_per_cpu=8, ram_ratio=4.0, passes=3)
    load.launch(site)
    (launch,) = shell_of(site.role("client")).commands
    words = shlex.split(launch)
    each = 256 * MIB * 4 // 16
    assert words[:4] == ["setsid", "python3", "-I", "-S"]
    assert words[4:9] == ["/run/harness/workload/thrash.pyz", "/dev/shm/harness-progress", "16", str(each), "3"]
    assert words[9:11] == ["anonymous", "reads"]
    assert words[-1] == "&" and "</dev/null" in words and "2>&1" in words


def test_the_size_of_each_is_whole_pages_of_what_the_kernel_really_has() -> None:
    site = make_site(make_topology(), memory=233_337 * 1024)
    SwapThrash(processes_per_cpu=3).launch(site)
    each = int(shlex.split(shell_of(site.role("client")).commands[0])[7])
    assert each % 4096 == 0 and 0 <= 4 * 233_337 * 1024 - 6 * each < 6 * 4096 + 6


def test_shared_memory_is_a_load_of_its_own() -> None:
    site = make_site()
    load = SwapThrash(memory="shmem")
    load.launch(site)
    assert shlex.split(shell_of(site.role("client")).commands[0])[9] == "shmem"
    assert "of shmem" in load.describe()
    with pytest.raises(UsageError, match="no memory 'huge'; there are: anonymous, shmem"):
        SwapThrash(memory="huge")


def test_it_fills_anew_if_it_is_told_to() -> None:
    site = make_site()
    load = SwapThrash(refills=True)
    load.launch(site)
    assert shlex.split(shell_of(site.role("client")).commands[0])[10] == "fills"
    assert "filled anew" in load.describe() and "anew" not in SwapThrash().describe()


def test_what_it_says_of_itself() -> None:
    load = SwapThrash(passes=2)
    assert load.critical_tasks == ("thrash",) and "2 pass" in load.describe() and "4 × memory" in load.describe()


def test_without_passes_it_runs_until_its_time_is_over() -> None:
    load = SwapThrash(passes=0, limit_s=3600.0)
    assert isinstance(load, TimeLimited) and load.time_limited and "again and again" in load.describe()
    assert not SwapThrash(passes=1).time_limited
