"""Cases for the tests of resuming: each is over within seconds."""

import pytest

from harness.plugin.trials import Trial
from harness.storage.disk import PlainDisk
from harness.workloads.thrash import SwapThrash


@pytest.mark.topology("single")
@pytest.mark.parametrize("number", range(32))
def test_quick(trial: Trial, number: int) -> None:
    trial.run(storage=PlainDisk(), workload=SwapThrash(processes_per_cpu=1, ram_ratio=0.05))
