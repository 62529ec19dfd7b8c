"""Rows for `throughput.py`: swap to oneself over NBD, which deadlocks, and swap to another host, which does not."""

import pytest

from harness.plugin.trials import Trial
from harness.storage.nbd import NbdSwap
from harness.workloads.thrash import SwapThrash

SWAP = NbdSwap(client="client", server="server", ratio=2.0)
ROWS = 4


@pytest.mark.reproduces("deadlock")
@pytest.mark.topology("single")
@pytest.mark.parametrize("number", range(ROWS))
def test_hangs(trial: Trial, number: int) -> None:
    """The server on the client itself."""
    trial.run(storage=SWAP, workload=SwapThrash(host="client", ram_ratio=1.5))


@pytest.mark.topology("nbd-remote", memory={"client": "256 MiB"})
@pytest.mark.parametrize("number", range(ROWS))
def test_survives(trial: Trial, number: int) -> None:
    """The server on another host."""
    trial.run(storage=SWAP, workload=SwapThrash(host="client", ram_ratio=1.1))
