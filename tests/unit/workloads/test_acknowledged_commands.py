"""Acknowledged writes: what each host is told, and the figures made of what it answers."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from fakes import agent_of, make_site, shell_of

from harness.model.errors import InfraError, UsageError
from harness.model.measure import Value
from harness.site.target import Site, Target
from harness.site.zipapp import pack
from harness.workloads.acknowledged import PROGRESS, RECORD, SCRIPT, Acknowledged, pause_at

LOAD = Acknowledged(folder="/mnt/load", seconds=60.0, hosts=("client", "server"), fault_s=15.0)


def reported(**changes: object) -> dict[str, object]:
    fine = {"name": "writer-0", "acknowledged": 900, "checked": 900, "lost": 0, "refused": 0, "over": 1, "error": ""}
    return {**fine, "pauses": [[15.2, 7.5], [40.0, 9.0]], **changes}


def answering(site: Site, *workers: dict[str, object]) -> Site:
    for role in ("client", "server"):
        shell_of(site.role(role)).answer(" tell ", json.dumps(workers))
    return site


def figures(load: Acknowledged, site: Site, evidence: Path) -> dict[str, Value]:
    return {measure.name: measure.value for measure in load.measures(site, evidence)}


def test_every_host_has_all_it_needs_before_the_launch_and_its_agent_tells_its_progress() -> None:
    site = make_site()
    progress = LOAD.prepare(site)
    assert (progress.host, progress.workers, progress.path) == ("c1", 2, PROGRESS)
    for role in ("client", "server"):
        shell = shell_of(site.role(role))
        assert f"truncate -s {64 + 2 * 64} {PROGRESS}" in shell.commands[0]
        assert f"truncate -s {64 + 2 * (128 + 601 * 8)} {RECORD}" in shell.commands[0]
        assert shell.files == {"/run/harness/workload/acknowledged.pyz": pack(SCRIPT)}
        assert agent_of(site.role(role)).asked == [("progress", {"path": PROGRESS})]


def test_every_host_writes_below_a_folder_of_its_own() -> None:
    site = make_site()
    LOAD.launch(site)
    for role in ("client", "server"):
        (launch,) = shell_of(site.role(role)).commands
        words = shlex.split(launch)
        assert words[5:13] == ["write", PROGRESS, RECORD, f"/mnt/load/{role}", "1", "1", "10.0", "60.0"]
        assert words[0] == "setsid" and words[-1] == "&"


def test_the_baseline_is_the_load_itself() -> None:
    site = make_site()
    shell_of(site.role("client")).answer(" write ", "110 operations in 3.1 s\n")
    assert LOAD.baseline(site) == pytest.approx(110 / 3.1)
    assert PROGRESS not in " ".join(shell_of(site.role("client")).commands)


def test_a_load_that_gets_nothing_acknowledged_is_none() -> None:
    site = make_site()
    shell_of(site.role("client")).answer(" write ", "writer-0: write 0: refused\n0 operations in 3.0 s\n")
    with pytest.raises(InfraError, match="c1: nothing acknowledged in 3 s"):
        LOAD.baseline(site)


def test_the_pause_at_the_fault_is_told_apart_from_the_longest(tmp_path: Path) -> None:
    found = figures(LOAD, answering(make_site(), reported()), tmp_path)
    assert found["pause at the fault of writer 0 of client"] == 7.5
    assert found["longest pause of writer 0 of server"] == 9.0
    assert found["longest pause of any worker"] == 9.0


def test_what_was_lost_refused_and_acknowledged_is_summed_over_all(tmp_path: Path) -> None:
    site = answering(make_site(), reported(lost=3, refused=2), reported(name="creator-0"))
    found = figures(LOAD, site, tmp_path)
    assert found["acknowledged writes"] == 3600
    assert found["refused writes"] == 4
    assert found["lost writes, read back by whoever wrote them"] == 6
    assert found["workers that came to their end"] == 4
    assert "lost writes, read from the disk" not in found
    assert json.loads((tmp_path / "acknowledged.json").read_text())["client"][0]["lost"] == 3


def test_what_was_not_read_back_to_its_end_is_not_said_to_be_there(tmp_path: Path) -> None:
    found = figures(LOAD, answering(make_site(), reported(), reported(name="creator-0", over=0)), tmp_path)
    assert found["workers that came to their end"] == 2
    assert "lost writes, read back by whoever wrote them" not in found


def test_the_disk_is_asked_for_every_acknowledged_write_of_everybody(tmp_path: Path) -> None:
    site = answering(make_site(), reported(acknowledged=7), reported(name="creator-0", acknowledged=5))
    server = site.role("server")
    shell_of(server).answer(" check ", json.dumps({"writer-0": [5, 6], "creator-0": []}))

    def disk(given: Site) -> tuple[Target, str]:
        return given.role("server"), "/srv/load"

    load = Acknowledged(folder="/mnt/load", seconds=60.0, hosts=("client", "server"), disk=disk)
    assert figures(load, site, tmp_path)["lost writes, read from the disk"] == 4
    checks = [shlex.split(command)[4:] for command in shell_of(server).commands if " check " in command]
    pairs = ["writer-0", "7", "creator-0", "5"]
    assert checks == [["check", "/srv/load/client", *pairs], ["check", "/srv/load/server", *pairs]]


@pytest.mark.parametrize(
    ("pauses", "fault_s", "value"),
    [
        ([], 15.0, 0.0),
        ([(14.9, 8.0)], 15.0, 8.0),
        ([(17.5, 8.0)], 15.0, 8.0),
        ([(2.0, 1.0), (40.0, 30.0)], 15.0, 0.0),
        ([(14.0, 2.0), (16.5, 12.0)], 15.0, 12.0),
    ],
)
def test_the_pause_of_a_fault_is_the_longest_that_was_under_way_then(
    pauses: list[tuple[float, float]], fault_s: float, value: float
) -> None:
    assert pause_at(pauses, fault_s) == value


@pytest.mark.parametrize("given", [{"hosts": ()}, {"writers": 0, "creators": 0}, {"per_second": 0.0}, {"seconds": 0.0}])
def test_a_load_that_is_none_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="acknowledged writes"):
        Acknowledged(**{"folder": "/x", "seconds": 10.0, **given})  # type: ignore[arg-type]


def test_what_it_says_of_itself() -> None:
    assert LOAD.critical_tasks == ("acknowledged",) and "client, server" in LOAD.describe() and LOAD.limit_s > 60.0
