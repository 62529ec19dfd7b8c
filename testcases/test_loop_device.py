"""A loop device: a disk whose driver writes into the page cache.

The driver of a loop device writes to a file like any program: through the page cache, in a worker task. So that worker
allocates pages in order to clean pages.

Swap: to write a page out, the driver needs a free page, and there are none while the machine swaps. It may not wait for
its own device to get one (d0a255e795ab, "loop: set PF_MEMALLOC_NOIO for the worker thread", v5.3). So it retries its
allocation for ever, and there is no page.

Many processes allocate memory at the same time, and a page that one frees goes to another, not to the driver. A driver
that is lucky at first then finds the pages of its own file that have reached the disk; when that ends is chance. So
there are 16 processes a processor that fill new memory again and again, and the clean page cache is dropped every 3 s,
in both rows. Mostly the driver retries for ever. Now and then a page is freed for it after all, which turns the
deadlock into a stall of 12 s.

With direct I/O the driver needs no page. On a disk it then survives if its queue merges nothing: for a request of
several bios it allocates the list of their pages (kmalloc_array() in lo_rw_aio()). On a file it still needs a
`struct bio` for the file system below. That bio comes from the same pool as the bios of tasks that write pages to swap
(`fs_bio_set`: __swap_writepage(), iomap_dio_bio_iter()). Two levels that allocate from one pool wait for each other
once memory is gone: for the 5 s after which mempool_alloc() tries again, or for good. Which of the two happens differs
from run to run, so it is no row here.

Write load: like any writer, the worker would have to wait while too many pages are dirty. Most of them are the device's
own, and only the worker can clean those. It does not wait, because only the dirty pages of the disk below count for it:
PF_LOCAL_THROTTLE (a37b0715ddf3, "mm/writeback: replace PF_LESS_THROTTLE with PF_LOCAL_THROTTLE", v5.8). Eight processes
write a page at a time to a file on the device, synchronously and past its page cache, like a database. Then another
process writes a large file to it, through the page cache, and in the middle of that the dirty limits are lowered.

What to look for in the report: in a hang, progress ends within seconds, for good. Under write load all tasks wait for a
`kworker` in balance_dirty_pages() below loop_process_work(). With swap all tasks wait for swap, including the journal
of the file system below, and a `kworker` of the device runs without progress.
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
    """The distribution's loop.ko, same load: writers wait until the large file is on the slow disk, then go on."""
    trial.run(storage=DISK, workload=LOAD, tunings=[MUCH], faults=[SLOW, BULK, LITTLE])
