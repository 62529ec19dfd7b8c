"""The copy that freezes the machine.

There is no swap, and a file in tmpfs takes most of the memory. A crash collector copies that file to a slow disk.
Beside it a script lists a tree with `ls -lR`, appends 4 KiB to a file on another disk and waits for the write, every
0.1 s. The script's progress is judged. Canaries time everyday actions: they start `true`, `date` and `ls -lR`, and one
writes like the script. They are also timed before the copy, with the memory already taken.

`cp` and Python's `shutil.copy` go through the page cache. Every page of the copy needs one of the few free pages, so
others are reclaimed, program text among them. The other side maps the source into memory and writes the target with
`O_DIRECT`: the disk reads the source's own pages.

What to look for in the report: the canaries side by side (`worst` and `p99`, calm and under load; their whole
distribution is in the evidence), and `allocation stalls`. The copy takes equally long on both sides, because the disk
limits it.
"""

from __future__ import annotations

import pytest

from harness.faults.storage import Throttle
from harness.faults.tuning import Sysctl
from harness.monitors.instruments.canaries import Canaries
from harness.plugin.trials import Trial
from harness.storage.mapped import MappedDisk
from harness.storage.tmpfs import Tmpfs
from harness.workloads.copy import Copy
from harness.workloads.paced import Paced

SHARE = 0.64  # of the memory, in tmpfs
DISK_RATE = 2_000_000  # bytes a second of the disk that is copied to
PATIENCE_S = 90.0  # the dirty pages, of the 90 MB that are left, take up to 45 s to reach that disk

DISK = MappedDisk(use="file")
MEMORY = Tmpfs(disk=DISK, share=SHARE)
CANARIES = Canaries(writer="/var/tmp/canary")
SLOW = Throttle(role="client", disk="scratch", bytes_per_s=DISK_RATE)
# On both sides: most of the remaining pages may be dirty, as on a machine that is tuned for throughput.
MUCH = Sysctl(role="client", values={"vm.dirty_background_ratio": 60, "vm.dirty_ratio": 80})
# No huge pages: with them, compaction also keeps both processors busy, which is another experiment.
PLAIN = {"client": "transparent_hugepage=never"}


def _run(trial: Trial, method: str) -> None:
    copy = Copy(method=method, source=MEMORY.source, target=DISK.path)
    writer = Paced(path="/var/tmp/paced", job=f"ls -lR {CANARIES.tree}", beside=copy)
    trial.run(
        storage=MEMORY, workload=writer, tunings=[MUCH], faults=[SLOW], instruments=[CANARIES], patience_s=PATIENCE_S
    )


@pytest.mark.cost(6)
@pytest.mark.reproduces("stall")
@pytest.mark.parametrize("method", ["cp", "shutil"])
@pytest.mark.topology("loopback", cmdline=PLAIN)
def test_through_the_page_cache(trial: Trial, method: str) -> None:
    """`cp`, and Python's `shutil.copy`: the script that writes to the other disk stalls again and again."""
    _run(trial, method)


@pytest.mark.cost(6)
@pytest.mark.topology("loopback", cmdline=PLAIN)
def test_past_the_page_cache(trial: Trial) -> None:
    """An mmap source and an `O_DIRECT` target, with the same memory taken: the copy disturbs no other process."""
    _run(trial, "direct")
    taken, left = (trial.measures[f"memory {what}"].value for what in ("in tmpfs", "available after the load"))
    assert float(left) < 0.5 * float(taken), "most of the memory was taken all the time"
    assert float(trial.measures["writer load worst"].value) < 4000, "ms; the other side's stalls are longer"
