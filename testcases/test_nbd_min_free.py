"""Does a larger reserve of free memory prevent the deadlock of swap over NBD?

Administrators are advised to raise `vm.min_free_kbytes` when a machine hangs under memory pressure. According to the
author of the series "Swap-over-NBD without deadlocking" (Mel Gorman, 2012) it changes when the machine hangs, not
whether. Any allocation may use the reserve, so the packet that would free memory still finds none.

What to look for in the report: "time to hang" of the rows side by side. A larger reserve does not make it longer. With
16 × (a fifth of this client's memory) so little is left to use that the OOM killer kills workers with most of the swap
still free, and the rest hangs all the same. Whether it kills the first before the hang is certain is chance.
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
    """nbd.ko without the memalloc protections: no value of the reserve keeps the load going for ten minutes."""
    trial.run(storage=SWAP, workload=LOAD, tunings=[Sysctl(role="client", values={"vm.min_free_kbytes": reserve})])
