"""Loopback NFS, nfs_release_folio() that waits for writeback: kcompactd waits for nfsd, and nfsd for itself.

Client and server are one machine. Compaction and reclaim ask the file system to release a page with private data. The
NFS client did so by writing that page to the server and waiting. Then kcompactd waits for nfsd, with a batch of other
pages locked. nfsd, which needs memory for a page of its own file, reclaims a page of the mount and waits for itself.
Fixed for kcompactd by ce6d9c1c2b5c ("NFS: fix nfs_release_folio() to not deadlock via kcompactd writeback", v6.14) and
for all tasks by cce0be6eb497 ("NFS: Fix a deadlock involving nfs_release_folio()", v6.19). 6.1 does not wait there, and
Debian's 6.12 has both fixes. So one side runs its nfs.ko with both undone.

Four processes write a file of two fifths of the memory on the mount, again and again. A hog holds a quarter of the
memory, and kcompactd is set to be as eager as possible.

What to look for in the report: it hangs within seconds, only `storage` is blocked, and memory is not short. The graph
has kcompactd0 and an nfsd in nfs_wb_folio(); the other threads of the server wait for that nfsd. With the fixes, `pages
migrated` shows that memory was compacted.
"""

from __future__ import annotations

import pytest

from harness.faults.tuning import Sysctl
from harness.monitors.instruments.hog import Hog
from harness.plugin.trials import Trial
from harness.storage.nfs import NfsDisk
from harness.workloads.dirty import Dirty

KERNEL = "debian:12-6.12"
MOUNT = NfsDisk(client="client", server="server", version="4.2", scratch=True)
DIRTY = 0.4  # × memory, written again and again
BLOCK = 1 << 20  # bytes of one write, so that there are large folios
HELD = 0.25  # × memory
SECONDS = 60.0
EAGER = Sysctl(
    role="client",
    values={"vm.compaction_proactiveness": 100, "vm.dirty_background_ratio": 30, "vm.dirty_ratio": 60},
)


def run(trial: Trial) -> None:
    """The load beside the hog; the pages migrated are a measure of the trial."""
    load = Dirty(path=MOUNT.path, mode="write", ratio=DIRTY, block=BLOCK, seconds=SECONDS * trial.budget)
    trial.run(storage=MOUNT, workload=load, tunings=[EAGER], instruments=[Hog(share=HELD)])


@pytest.mark.reproduces("deadlock")
@pytest.mark.cost(3)
@pytest.mark.topology("loopback", kernel={"client": KERNEL}, modules={"client": ["nfs-release-waits"]})
def test_release_waits(trial: Trial) -> None:
    """Compaction waits until the server has the page: deadlocks."""
    run(trial)


@pytest.mark.cost(3)
@pytest.mark.topology("loopback", kernel={"client": KERNEL})
def test_release_does_not_wait(trial: Trial) -> None:
    """The distribution's 6.12, with the fixes: survives."""
    run(trial)
    assert float(trial.measures["pages migrated"].value) > 1000, "memory was compacted"
