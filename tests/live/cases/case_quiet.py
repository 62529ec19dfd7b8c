"""A case for the tests of the harness's own end: it would run for minutes."""

import pytest

from harness.plugin.trials import Trial
from harness.storage.disk import PlainDisk
from harness.workloads.thrash import SwapThrash


@pytest.mark.topology("single")
def test_quiet(trial: Trial) -> None:
    trial.run(storage=PlainDisk(), workload=SwapThrash(ram_ratio=0.2, processes_per_cpu=2, passes=1_000_000))
