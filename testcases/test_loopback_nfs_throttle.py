"""Loopback NFS, the server throttled by its own client's dirty pages: a collapse.

A writer of an NFS mount has dirtied much of the memory when the dirty limits are lowered. Writers now have to wait
until enough pages are clean. nfsd cleans them, and nfsd is a writer as well: throttled like the others, it would wait
for itself. It does not, because only the dirty pages of its own disk count for it: PF_LESS_THROTTLE (399ba0b95670,
"mm/vmscan.c: avoid throttling reclaim for loop-back nfsd threads", v3.16), today PF_LOCAL_THROTTLE (a37b0715ddf3,
"mm/writeback: replace PF_LESS_THROTTLE with PF_LOCAL_THROTTLE", v5.8).

Two processes write a page at a time to the mount, synchronously, like a database. Then another process writes a large
file beside them, through the page cache, and in the middle of that the limits are lowered.

What to look for in the report: progress never ends. Without the flag it falls below a page a second when the limits are
lowered, and nothing else is wrong with the machine. With the flag it is slower for a while, then recovers.
"""

from __future__ import annotations

import pytest

from harness.faults.bulk import BulkWriter
from harness.faults.tuning import Sysctl
from harness.plugin.trials import Trial
from harness.storage.nfs import NfsDisk
from harness.workloads.steady import Steady

MOUNT = NfsDisk(client="client", server="server", version="4.2", scratch=True, bytes_per_s=20_000_000)
LOAD = Steady(host="client", mode="write", workers=2, path=MOUNT.path, block=4096, limit_s=60.0)
MUCH = Sysctl(role="client", values={"vm.dirty_background_ratio": 30, "vm.dirty_ratio": 40})
BULK = BulkWriter(role="client", path=f"{MOUNT.mount}/bulk", mib=300, at_s=5.0)
LITTLE = Sysctl(role="client", values={"vm.dirty_background_ratio": 2, "vm.dirty_ratio": 5}, at_s=12.0)

pytestmark = pytest.mark.profile("smoke")


@pytest.mark.reproduces("livelock")
@pytest.mark.cost(3)
@pytest.mark.topology("loopback", modules={"client": ["nfsd-no-local-throttle"]})
def test_throttled_like_any_other(trial: Trial) -> None:
    """nfsd without PF_LOCAL_THROTTLE: crawls."""
    trial.run(storage=MOUNT, workload=LOAD, tunings=[MUCH], faults=[BULK, LITTLE])


@pytest.mark.cost(3)
@pytest.mark.topology("loopback")
def test_throttled_by_its_own_disk(trial: Trial) -> None:
    """The distribution's nfsd: survives."""
    trial.run(storage=MOUNT, workload=LOAD, tunings=[MUCH], faults=[BULK, LITTLE])
    assert float(trial.measures["dirty pages at most, of what is allowed"].value) > 1.5, "the limits did bite"
    assert trial.measures["bulk write ended"].value == "yes"
