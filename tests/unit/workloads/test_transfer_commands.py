"""A transfer: how it is put in place, measured and launched."""

from __future__ import annotations

import shlex

import pytest
from fakes import make_site, shell_of

from harness.model.errors import InfraError, UsageError
from harness.model.topology import MIB
from harness.site.target import Site
from harness.site.zipapp import pack
from harness.workloads.transfer import SCRIPT, Transfer

FILE = Transfer(kind="file", path="/mnt/load", direction="incoming", file_size=5 * MIB)


def commands(site: Site, role: str = "client") -> list[str]:
    return shell_of(site.role(role)).commands


def test_iperf3_finds_a_server_on_the_peer_that_serves_once() -> None:
    site = make_site()
    progress = Transfer(seconds=30).prepare(site)
    assert (progress.host, progress.workers, progress.log) == ("c1", 1, "/run/harness/workload/log")
    assert f"truncate -s 128 {progress.path}" in commands(site)[0]
    assert shell_of(site.role("client")).files == {"/run/harness/workload/transfer.pyz": pack(SCRIPT)}
    assert commands(site, "server") == ["iperf3 -s -1 -D -p 5201"]


def test_a_file_is_there_in_its_size_before_it_is_transferred() -> None:
    site = make_site()
    FILE.prepare(site)
    make = commands(site)[-1]
    assert make.startswith(f"test $(stat -c %s /mnt/load) = {5 * MIB} || dd ") and " count=5 " in make
    assert not commands(site, "server")


@pytest.mark.parametrize(
    ("transfer", "words"),
    [
        (Transfer(direction="outgoing", seconds=30), ["iperf3", "outgoing", "10.77.0.2:5201", "30"]),
        (FILE, ["file", "incoming", "/mnt/load", "60.0"]),
    ],
)
def test_the_launch_is_one_command(transfer: Transfer, words: list[str]) -> None:
    site = make_site()
    transfer.launch(site)
    (launch,) = commands(site)
    reported = shlex.split(launch)
    assert reported[:5] == ["setsid", "python3", "-I", "-S", "/run/harness/workload/transfer.pyz"]
    assert reported[5:10] == ["/dev/shm/harness-progress", *words]
    assert reported[-1] == "&" and "</dev/null" in reported


def test_the_baseline_is_a_short_transfer_with_a_progress_file_and_a_server_of_its_own() -> None:
    site = make_site()
    shell_of(site.role("client")).answer("transfer.pyz", "9000 operations in 4.500 s\n")
    assert Transfer(direction="incoming").baseline(site) == 2000.0
    assert commands(site, "server") == ["iperf3 -s -1 -D -p 5202"]
    reported = shlex.split(commands(site)[-1])
    assert "/dev/shm/harness-baseline" in reported and reported[-3:] == ["incoming", "10.77.0.2:5202", "4.0"]


@pytest.mark.parametrize("text", ["", "0 operations in 4.0 s\n", "transfer: OSError('refused')\n"])
def test_a_baseline_in_which_nothing_moved_is_none(text: str) -> None:
    site = make_site()
    shell_of(site.role("client")).answer("transfer.pyz", text)
    with pytest.raises(InfraError, match=r"c1: iperf3, outgoing.*nothing moved"):
        Transfer().baseline(site)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"kind": "ftp"}, "kinds are iperf3, file"),
        ({"direction": "sideways"}, "directions outgoing, incoming"),
        ({"kind": "file"}, "`path` is for files"),
        ({"path": "/x"}, "`path` is for files"),
        ({"seconds": 0.5}, "1 s and 1 MiB or more"),
        ({"kind": "file", "path": "/x", "file_size": 4096}, "1 s and 1 MiB or more"),
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, object], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        Transfer(**given)  # type: ignore[arg-type]


def test_it_is_given_up_long_after_its_time() -> None:
    assert Transfer(seconds=30).limit_s > 60
    assert Transfer().critical_tasks == ("transfer", "iperf3") and "outgoing" in Transfer().describe()
