"""Rows of testcases/ on owned hosts give the verdicts that they give on guests, and the hosts are given back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.testbed.rack import inventory, is_free

pytestmark = pytest.mark.physical
CASES = Path(__file__).parents[2] / "testcases"
END_S = 3600.0
# Their memory is that of the hosts. A kernel of the run, of which modules are replaced, and which can be kept small.
SMALL = ("--kernel", "debian:12", "--cmdline", "mem=288M")


@pytest.mark.parametrize(
    ("case", "row", "options"),
    [
        ("test_nbd_swap.py", "test_loopback", ()),
        ("test_nbd_swap.py", "test_patch_undone", SMALL),
        ("test_nbd_swap.py", "test_stock", SMALL),
        ("test_transfer_stops.py", "test_iperf3 and outgoing and kernel", SMALL),
        ("test_transfer_stops.py", "test_iperf3 and outgoing and noio and not memalloc", SMALL),
    ],
)
def test_a_row_gives_its_verdict(state: Path, tmp_path: Path, case: str, row: str, options: tuple[str, ...]) -> None:
    given = ["--inventory", str(inventory()), "--state", str(state), "--results", str(tmp_path), "-k", row, *options]
    command = [sys.executable, "-m", "harness.cli", "run", str(CASES / case), *given]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=END_S)
    assert done.returncode == 0, done.stdout + done.stderr
    verdicts = [json.loads(path.read_text()) for path in tmp_path.glob("*/trials/*/verdict.json")]
    assert len(verdicts) == 1, "the row that was chosen, and no other"
    print(json.dumps({"row": row, "kind": verdicts[0]["verdict"], "summary": verdicts[0]["summary"]}))
    assert is_free("m1") and is_free("m2")
