"""The three rows of swap over NBD, as a user runs them, and the verdict that each must give."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.model.settings import Settings
from harness.results.junit import read_junit
from harness.results.store import RunStore

ROOT = Path(__file__).resolve().parents[2]
EXPECTED = {"test_stock": "SURVIVED", "test_patch_undone": "DEADLOCKED", "test_loopback": "DEADLOCKED"}


@pytest.mark.slow
def test_every_row_gives_its_verdict(settings: Settings) -> None:
    check_rows(settings, EXPECTED, "-n", "2")


def test_the_row_on_a_single_guest_gives_its_verdict(settings: Settings) -> None:
    check_rows(settings, {"test_loopback": EXPECTED["test_loopback"]}, "-k", "loopback")


def check_rows(settings: Settings, expected: dict[str, str], *arguments: str) -> None:
    command = [sys.executable, "-m", "harness.cli", "run", "testcases/test_nbd_swap.py", *arguments]
    command += ["--inventory", "inventories/local.toml", "--state", str(settings.state)]
    command += ["--results", str(settings.results), "--cache", str(settings.cache)]
    done = subprocess.run(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=1500, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    (store,) = RunStore.runs(settings.results)
    rows = {row.name.rpartition("::")[2].rpartition(".")[2]: row for row in read_junit(store.junit_path)}
    assert {name: row.verdict for name, row in rows.items()} == expected
    assert (store.path / "report.html").stat().st_size > 10_000
    for trial in store.trials():
        record = trial.read_verdict()
        assert record is not None
        assert record["as_expected"]
        if record["verdict"] == "DEADLOCKED":
            assert list(trial.evidence.glob("*.sysrq-w.txt")), "what was blocked is among the evidence"
