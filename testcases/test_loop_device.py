"""A loop device: a disk whose driver writes into the page cache.

What a loop device is told to write its driver writes to a file, as any program would: through the page cache, on a task
of its own. So that task takes pages in order to clean pages.

Swap: to write a page out the driver needs a page, of which there are none, or nobody would be swapping. It may not wait
for its own device to get one (d0a255e795ab, "loop: set PF_MEMALLOC_NOIO for the worker thread", v5.3), so it looks for
one without an end, and there is none to be found.

Many processes look for memory then, and what one of them frees the next one takes, not the driver. Where the driver is
lucky at first, the pages of its file that have reached the disk are what it finds from then on, and it is chance when
that ends. So there are 16 processes a processor, which fill new memory again and again, and what is clean of the page
cache is dropped every 3 s, in both rows. Mostly the driver looks for good; now and then somebody frees a page for it
after all, which makes a deadlock a stall of 12 s.

With direct I/O it needs no page. On a disk it then survives, if its queue merges nothing: for a request of several bios
it takes memory for the list of their pages (kmalloc_array() in lo_rw_aio()). On a file it still needs a `struct bio`
for what it passes on to the file system below, from the same pool as whoever writes a page to swap (`fs_bio_set`:
__swap_writepage(), iomap_dio_bio_iter()), and two levels that take from one pool wait for each other once memory is
gone: for the 5 s after which mempool_alloc() looks for memory again, or for good. Which of the two differs from run to
run: it is no row here.

Write load: like any writer that task would have to wait while too many pages are dirty, and most of them are the
device's own, which nobody else can clean. It does not wait, because it looks at the dirty pages of the disk below
alone: PF_LOCAL_THROTTLE (a37b0715ddf3, "mm/writeback: replace PF_LESS_THROTTLE with PF_LOCAL_THROTTLE", v5.8). Eight
processes write a page at a time to a file on the device, synchronously and past its page cache, as a database does;
then somebody writes a large file to it, through the page cache, and in the middle of that the limits go down.

What to look for in the report: where it hangs, progress ends within seconds, for good. Under write load all wait for a
`kworker` that is in balance_dirty_pages() below loop_process_work(). With swap all wait for swap, the journal of the
file system below among them, and a `kworker` of the device runs and gets nothing done.
"""

from __future__ import annotations

import pytest

from harness.faults.bulk import BulkWriter
from harness.faults.storage import Throttle
from harness.faults.tuning import Sysctl
from harness.faults.workarounds import CachesDroppedEvery
from harness.model.topology import MIB
from harness.plugin.trials import Trial
from harness.storage.loop import LoopDisk
from harness.storage.mapped import MappedDisk
from harness.storage.swap import Swap
from harness.workloads.steady import Steady
from harness.workloads.thrash import SwapThrash

BELOW = MappedDisk(use="file")
SWAP_MEMORY = "256 MiB"
SWAP_SIZE = 640 * MIB
THRASH = SwapThrash(host="client", processes_per_cpu=16, ram_ratio=2.0, passes=0, refills=True, limit_s=180.0)
DROPPED = CachesDroppedEvery(role="client", seconds=3, value=1)
PAST = LoopDisk(disk=MappedDisk(), size=SWAP_SIZE, direct_io=True, merges=False)

DISK = LoopDisk(disk=BELOW, use="file", size=512 * MIB)
LOAD = Steady(host="client", mode="write", workers=8, path=DISK.path, block=4096, limit_s=60.0)
MUCH = Sysctl(role="client", values={"vm.dirty_background_ratio": 30, "vm.dirty_ratio": 40})
SLOW = Throttle(role="client", disk="scratch", bytes_per_s=10_000_000)
BULK = BulkWriter(role="client", path=f"{DISK.mount}/bulk", mib=300, at_s=5.0)
LITTLE = Sysctl(role="client", values={"vm.dirty_background_ratio": 2, "vm.dirty_ratio": 5}, at_s=12.0)


@pytest.mark.reproduces("deadlock", "stall")
@pytest.mark.cost(3)
@pytest.mark.topology("loopback", memory={"client": SWAP_MEMORY})
def test_swap_through_the_page_cache(trial: Trial) -> None:
    """Swap on a loop device as losetup makes it, on the distribution's kernel: deadlocks, or stalls."""
    trial.run(storage=Swap(on=LoopDisk(disk=BELOW, size=SWAP_SIZE)), workload=THRASH, tunings=[DROPPED])


@pytest.mark.cost(4)
@pytest.mark.topology("loopback", memory={"client": SWAP_MEMORY})
def test_swap_past_the_page_cache(trial: Trial) -> None:
    """Swap on a loop device with `losetup --direct-io=on`, on a disk, and no requests merged: survives."""
    trial.run(storage=Swap(on=PAST), workload=THRASH, tunings=[DROPPED])
    assert float(trial.measures["pages swapped out"].value) > 0.5 * 256 * MIB / 4096, "half of the memory went out"


@pytest.mark.reproduces("deadlock")
@pytest.mark.cost(3)
@pytest.mark.topology("loopback", modules={"client": ["loop-no-local-throttle"]})
def test_throttled_like_any_other(trial: Trial) -> None:
    """loop.ko without PF_LOCAL_THROTTLE under write load: deadlocks."""
    trial.run(storage=DISK, workload=LOAD, tunings=[MUCH], faults=[SLOW, BULK, LITTLE])


@pytest.mark.reproduces("stall")
@pytest.mark.cost(2)
@pytest.mark.topology("loopback")
def test_throttled_by_its_own_disk(trial: Trial) -> None:
    """The distribution's loop.ko under the same: who writes waits until the large file is on the slow disk; it ends."""
    trial.run(storage=DISK, workload=LOAD, tunings=[MUCH], faults=[SLOW, BULK, LITTLE])
