"""Soak tests: sides that survive minutes of pressure, for hours.

Some hangs are rare: the transfers of the IPoIB report stopped sometimes for seconds, sometimes for hours. So this case
repeats the load of the short cases on sides that survive them, and counts every pause that is long enough to be a
stall. `--harness-budget 8` extends the hour of each row to eight.

What to look for in the report: "stalls", "longest stall" and "stalls in each quarter of the load". Evenly spread stalls
belong to the load; stalls that come late, or ever more often, show something that builds up.
"""

from __future__ import annotations

import pytest

from harness.monitors.instruments.hog import Hog
from harness.plugin.trials import Trial
from harness.storage.nbd import NbdSwap
from harness.storage.nfs import NfsDisk
from harness.workloads.dirty import Dirty
from harness.workloads.thrash import SwapThrash

HOUR_S = 3600.0
NFS = NfsDisk(scratch=True)
# The share of the client's memory held beside the load. A client that serves itself has every page twice, its own and
# the server's; with a remote server more can be held.
NEAR, FAR = Hog(share=0.4), Hog(share=0.65)

pytestmark = [pytest.mark.profile("soak"), pytest.mark.cost(70)]


@pytest.mark.topology("nbd-remote")
def test_swap_over_nbd(trial: Trial) -> None:
    """Swap on another host, pages read again and again: survives without a stall."""
    load = SwapThrash(ram_ratio=2.0, passes=0, limit_s=HOUR_S * trial.budget)
    trial.run(storage=NbdSwap(ratio=3.0), workload=load)
    assert int(trial.measures["pages swapped in"].value) > 10_000


@pytest.mark.parametrize(
    "hog",
    [
        pytest.param(FAR, marks=pytest.mark.topology("pair"), id="pair"),
        pytest.param(NEAR, marks=pytest.mark.topology("loopback"), id="loopback"),
    ],
)
def test_nfs(trial: Trial, hog: Hog) -> None:
    """A file on NFS is dirtied again and again while memory is short, with a remote and a local server: survives."""
    seconds = HOUR_S * trial.budget
    load = Dirty(path=NFS.path, mode="write", ratio=0.25, seconds=seconds, limit_s=seconds + HOUR_S / 4)
    trial.run(storage=NFS, workload=load, instruments=[hog])
    assert int(trial.measures["allocation stalls"].value) > 0, "memory was short"
