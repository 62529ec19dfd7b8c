"""Readers of delegated files: what is counted before they may begin, and what their script does."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import pytest
from fakes import make_site, shell_of
from packed import packed

from harness.model.errors import InfraError
from harness.site.target import Site
from harness.workloads.delegations import SCRIPT, DelegatedReaders

READERS = DelegatedReaders(mount="/mnt/x", folder="/srv/x", files=10, workers=2)


def site_with(held: str, figures: str = "40 operations in 2.000 s\n") -> Site:
    site = make_site()
    shell_of(site.role("server")).answer("type: deleg", held, exit_code=0 if held else 1)
    shell_of(site.role("client")).answer("delegations.pyz", figures)
    return site


def test_the_server_makes_the_files_and_says_how_many_are_delegated() -> None:
    site = site_with("10\n")
    shell_of(site.role("client")).answer("mountstats", "\tDELEGRETURN: 7 7 0 1 1 1 1 1 0\n")
    assert READERS.baseline(site) == 20.0
    make, count = shell_of(site.role("server")).commands
    assert "cd /srv/x/delegations && for i in $(seq 10)" in make and "/proc/fs/nfsd/clients" in count
    measures = {found.name: found.value for found in READERS.measures(site, Path("evidence"))}
    assert measures == {"delegations held before the load": 10, "delegations returned": 7}


@pytest.mark.parametrize("held", ["4\n", "0\n", ""])
def test_a_load_that_holds_too_few_does_not_begin(held: str) -> None:
    with pytest.raises(InfraError, match="delegations held of 10 files"):
        READERS.baseline(site_with(held))


def test_a_warm_up_without_figures_is_no_baseline() -> None:
    with pytest.raises(InfraError, match="no figures: worker 0: "):
        READERS.baseline(site_with("10\n", "worker 0: FileNotFoundError\n"))


def test_the_load_goes_round_for_ever_and_the_warm_up_does_not() -> None:
    site = site_with("10\n")
    READERS.baseline(site)
    progress = READERS.prepare(site)
    READERS.launch(site)
    rounds = [command for command in shell_of(site.role("client")).commands if "delegations.pyz" in command]
    assert [command.split()[8 if "setsid" in command else 7] for command in rounds] == ["2", "2", "0"]
    assert progress.workers == 2 and READERS.time_limited
    for command in shell_of(site.role("client")).commands:
        subprocess.run(["sh", "-n", "-c", command], check=True)


def run_script(tmp_path: Path, folder: Path) -> tuple[subprocess.CompletedProcess[str], list[tuple[int, ...]]]:
    progress = tmp_path / "progress"
    progress.write_bytes(bytes(64 + 2 * 64))
    command = [sys.executable, "-I", "-S", packed(SCRIPT), str(progress), "2", str(folder), "3"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done, [struct.unpack_from("=QQII", progress.read_bytes(), 64 + 64 * worker) for worker in range(2)]


def test_the_script_reads_every_file_and_counts(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    for number in range(4):
        (folder / str(number)).write_text("abc")
    done, workers = run_script(tmp_path, folder)
    assert done.returncode == 0 and done.stdout.startswith("24 operations in ")
    assert [worker[:3] for worker in workers] == [(12, 36, 2), (12, 36, 2)]


def test_the_script_says_that_a_read_failed(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    done, workers = run_script(tmp_path, tmp_path / "files")
    assert done.returncode == 1 and "no file in" in done.stdout
    assert [worker[2] for worker in workers] == [3, 3]
