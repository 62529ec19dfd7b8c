"""The smallest case: a little memory filled and read once, with nothing under test. `startup.py` runs it."""

import pytest

from harness.plugin.trials import Trial
from harness.storage.disk import PlainDisk
from harness.workloads.thrash import SwapThrash


@pytest.mark.topology("single")
def test_first_byte(trial: Trial) -> None:
    """Ends as soon as every page was written and read."""
    trial.run(storage=PlainDisk(), workload=SwapThrash(processes_per_cpu=1, ram_ratio=0.05))
