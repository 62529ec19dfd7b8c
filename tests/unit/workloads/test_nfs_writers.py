"""Writers to an NFS mount: what counts as done, and the figures that they leave."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from fakes import agent_of, make_site, shell_of

from harness.guest.progress import PAGE
from harness.model.errors import InfraError, UsageError
from harness.model.topology import MIB
from harness.workloads.guest import nfs_writers as script
from harness.workloads.nfs_writers import RATES, NfsWriters

WRITERS = NfsWriters(mount="/mnt/x", workers=2, mib=100, anonymous=0.25)
MOUNTSTATS = """\
device rootfs mounted on / with fstype rootfs
device h:/other mounted on /mnt/xy with fstype nfs4 statvers=1.1
\tbytes:\t9 9 9 9 9 9 9 9
device h:/srv mounted on /mnt/x with fstype nfs4 statvers=1.1
\tage:\t5
\tbytes:\t1 2 3 4 5 65536 7 8
"""


def test_what_the_server_has_taken_is_what_counts(tmp_path: Path) -> None:
    stats = tmp_path / "mountstats"
    stats.write_text(MOUNTSTATS)
    assert script.server_bytes("/mnt/x", str(stats)) == 65536
    with pytest.raises(OSError, match="no NFS mount at /mnt/z"):
        script.server_bytes("/mnt/z", str(stats))


def test_the_baseline_is_taken_from_a_short_run_that_is_flushed_and_removed() -> None:
    site = make_site()
    client = shell_of(site.role("client"))
    client.answer("nfs_writers.pyz", "4096 pages in 2.000 s\n")
    assert WRITERS.baseline(site) == 2048.0
    _, run, remove = client.commands
    assert run.endswith(f" 2 /mnt/x {8 * MIB} 0"), "and nothing beside it"
    assert remove == "rm -f /mnt/x/writer*"


def test_a_run_that_moved_nothing_is_no_baseline() -> None:
    site = make_site()
    shell_of(site.role("client")).answer("nfs_writers.pyz", "/mnt/x/writer0: OSError(28)\n0 pages in 1.000 s\n")
    with pytest.raises(InfraError, match="no figures"):
        WRITERS.baseline(site)


def test_the_load_holds_its_share_of_memory_and_reports_in_one_slot() -> None:
    site = make_site()
    progress = WRITERS.prepare(site)
    assert progress.workers == 1 and agent_of(site.role("client")).asked == [("open", {"paths": [RATES]})]
    WRITERS.launch(site)
    command = shell_of(site.role("client")).commands[-1]
    assert f" 2 /mnt/x {100 * MIB} {64 * MIB} >" in command
    subprocess.run(["sh", "-n", "-c", command], check=True)


def test_the_figures_come_through_the_agent_since_nobody_may_log_in() -> None:
    site = make_site()
    agent_of(site.role("client")).replies["read"] = "20.0 104857600 163840".ljust(script.LINE) + "\n"
    found = {measure.name: (measure.value, measure.unit) for measure in WRITERS.measures(site, Path("evidence"))}
    assert found == {
        "written to the server": (100.0, "MiB"),
        "mean rate of the writers": (5243, "kB/s"),
        "slowest rate over 10 s": (164, "kB/s"),
    }
    assert not shell_of(site.role("client")).commands


def test_a_load_too_short_for_a_window_has_no_slowest_one() -> None:
    site = make_site()
    agent_of(site.role("client")).replies["read"] = "3.0 1048576 -1"
    assert [measure.name for measure in WRITERS.measures(site, Path("evidence"))][-1] == "mean rate of the writers"
    agent_of(site.role("client")).replies["read"] = "\0" * script.LINE
    with pytest.raises(InfraError, match="never began"):
        WRITERS.measures(site, Path("evidence"))


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"mib": 0}, {"anonymous": 1.0}, {"anonymous": -0.1}])
def test_a_load_that_is_none_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="NFS writers"):
        NfsWriters(mount="/mnt/x", **wrong)


def test_the_slowest_window_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rates"
    path.write_bytes(bytes(script.LINE))
    now = 100.0
    monkeypatch.setattr("harness.workloads.guest.nfs_writers.time.monotonic", lambda: now)
    rates = script.Rates(str(path))
    for seconds, moved in ((1, 1000), (11, 21_000), (21, 21_100), (31, 61_100)):
        now = 100.0 + seconds
        rates.add(moved)
    assert path.read_text().split() == ["31.0", "61100", "10"] and len(path.read_text()) == script.LINE


def test_a_file_is_written_whole_and_memory_is_touched(tmp_path: Path) -> None:
    script.write(str(tmp_path / "file"), 3 * script.BLOCK)
    assert (tmp_path / "file").stat().st_size == 3 * script.BLOCK
    area = script.take_memory(2 * PAGE)
    assert area is not None and area[PAGE] == 1
    area.close()
    assert script.take_memory(0) is None


def test_a_writer_that_fails_is_told_from_one_that_is_done(tmp_path: Path) -> None:
    good = {script.start(str(tmp_path / "file"), script.BLOCK)}
    bad = {script.start(str(tmp_path / "none" / "file"), script.BLOCK)}
    while good | bad:
        pids = good | bad
        ended = script.reap(pids)
        gone = (good | bad) - pids
        if gone:
            assert ended == (not gone & bad)
        good, bad = good & pids, bad & pids
