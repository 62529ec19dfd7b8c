"""Caches dropped by a process of its own: it can be killed, and says how long it took."""

from __future__ import annotations

import shlex
import subprocess
import time
from pathlib import Path

import pytest
from fakes import make_site, shell_of

from harness.faults.caches import DROP, FOLDER, KILL, START, CacheDropper
from harness.model.errors import InfraError
from harness.model.measure import Measure

DROPPER = CacheDropper(role="client", at_s=3.0, heal_after_s=60.0)


def figures(reported: str) -> list[Measure]:
    site = make_site()
    shell_of(site.role("client")).answer(FOLDER, reported)
    return list(DROPPER.measures(site, Path("evidence")))


def test_one_that_ended_and_one_that_waits() -> None:
    assert [measure.value for measure in figures("100.5\n113.6\n")] == ["yes", 13.1]
    assert [measure.value for measure in figures("100.5\n190.5\nwaits\n")] == ["waits", 90.0]
    assert [measure.value for measure in figures("100.5\n120.5\nkilled\n")] == ["killed", 20.0]
    with pytest.raises(InfraError, match="never began"):
        figures("190.5\nwaits\n"[6:])


def here(command: str, folder: Path, caches: Path) -> str:
    """A command of the fault, with its folder and the kernel's file on this machine."""
    return command.replace(FOLDER, str(folder)).replace("/proc/sys/vm/drop_caches", str(caches))


def test_the_process_notes_when_it_began_and_ended(tmp_path: Path) -> None:
    folder, caches = tmp_path / "run", tmp_path / "drop_caches"
    start = here(START, folder, caches) % (shlex.quote(here(DROP, folder, caches)), "3")
    subprocess.run(["sh", "-c", start], check=True)
    while not (folder / "ended").exists() or not (folder / "ended").read_text():  # ended by the test run's own limit
        time.sleep(0.01)
    assert caches.read_text() == "3\n"
    assert float((folder / "begun").read_text()) <= float((folder / "ended").read_text())
    subprocess.run(["sh", "-c", here(KILL, folder, caches)], check=True)


def test_one_that_waits_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with subprocess.Popen(["sleep", "60"]) as process:
        (folder / "pid").write_text(f"{process.pid}\n")
        subprocess.run(["sh", "-c", here(KILL, folder, tmp_path / "x")], check=True)
        assert process.wait(timeout=60) == -9
    assert (folder / "ended").read_text().split()[1:] == ["killed"]


def test_it_is_started_and_killed_over_the_shell() -> None:
    site = make_site()
    DROPPER.inject(site)
    DROPPER.heal(site)
    start, kill = shell_of(site.role("client")).commands
    assert "setsid sh -c" in start and start.endswith("&)") and "kill -KILL" in kill
    assert "client" in DROPPER.describe()
