"""Swap over NBD, after the series "Swap-over-NBD without deadlocking" (Mel Gorman, 2012).

A machine with little memory swaps to an NBD device; 8 × processors processes map 4 × its memory, fill it and read it.
"Without the patches, the machine locks up within minutes and runs to completion with them applied."

What to look for in the report: with the stock driver every rung but `storage` may be slow, `alloc` and `fork` for tens
of seconds, and progress still never stops. Without the memalloc protections, or with the server on the same host, the
progress curve ends in a vertical drop and `storage` is hatched from there to the end of the trial.
"""

from __future__ import annotations

import pytest

from harness.plugin.trials import Trial
from harness.storage.nbd import NbdSwap
from harness.workloads.thrash import SwapThrash

SWAP = NbdSwap(client="client", server="server", ratio=5.0)
LOAD = SwapThrash(host="client", processes_per_cpu=8, ram_ratio=4.0, passes=1)


pytestmark = pytest.mark.profile("smoke")


@pytest.mark.reproduces("deadlock")
@pytest.mark.cost(2)
@pytest.mark.topology("nbd-remote", modules={"client": ["nbd-no-memalloc"]})
def test_patch_undone(trial: Trial) -> None:
    """The same with nbd.ko rebuilt without the memalloc protections: deadlocks."""
    trial.run(storage=SWAP, workload=LOAD)


@pytest.mark.cost(4)
@pytest.mark.topology("nbd-remote")
def test_stock(trial: Trial) -> None:
    """The distribution's kernel, the server on another host: survives."""
    trial.run(storage=SWAP, workload=LOAD)


@pytest.mark.reproduces("deadlock")
@pytest.mark.cost(2)
@pytest.mark.topology("single")
def test_loopback(trial: Trial) -> None:
    """The distribution's kernel, the server on the client itself: deadlocks."""
    trial.run(storage=SWAP, workload=LOAD)
