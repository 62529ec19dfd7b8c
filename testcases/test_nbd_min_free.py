"""Does a larger reserve of free memory prevent the deadlock of swap over NBD?

`vm.min_free_kbytes` is what administrators are told to raise when a machine hangs under memory pressure. The author of
the series "Swap-over-NBD without deadlocking" (Mel Gorman, 2012) says that it changes when the machine hangs, not
whether: the reserve is there for everybody, so whoever allocates takes it, and the packet that would free memory still
finds none.

What to look for in the report: "time to hang" of the rows side by side. A larger reserve does not make it longer. With
16 × (a fifth of what this client has) there is so little left to use that the OOM killer takes workers with most of the
swap still free, and what is left hangs all the same; whether the first is killed before the stop is certain is chance.
"""

from __future__ import annotations

import pytest

from harness.faults.tuning import Sysctl
from harness.plugin.trials import Trial
from harness.storage.nbd import NbdSwap
from harness.storage.nbd_server import NbdServer
from harness.workloads.thrash import SwapThrash

SWAP = NbdSwap(client="client", server="server", ratio=5.0, program=NbdServer(program="nbdkit"))
LOAD = SwapThrash(host="client", processes_per_cpu=8, ram_ratio=4.0, passes=0, refills=True, limit_s=600.0)

DEADLOCK, EITHER = pytest.mark.reproduces("deadlock"), pytest.mark.reproduces("oom", "deadlock")


@pytest.mark.cost(3)
@pytest.mark.topology("nbd-remote", modules={"client": ["nbd-no-memalloc"]})
@pytest.mark.parametrize(
    "reserve",
    [
        pytest.param("x0.5", marks=DEADLOCK),
        pytest.param("x1", marks=DEADLOCK),
        pytest.param("x4", marks=DEADLOCK),
        pytest.param("x16", marks=EITHER),
    ],
)
def test_patch_undone(trial: Trial, reserve: str) -> None:
    """nbd.ko without the memalloc protections: with no value of the reserve the load goes on for ten minutes."""
    trial.run(storage=SWAP, workload=LOAD, tunings=[Sysctl(role="client", values={"vm.min_free_kbytes": reserve})])
