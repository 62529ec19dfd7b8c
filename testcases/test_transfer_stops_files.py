"""File transfers that stop, on NFS and on SMB: the network driver of test_transfer_stops.py under a file system.

On NFS the host swaps to another file of the same mount, so reclaim waits for pages that go through the driver, and the
driver waits for reclaim. No row reads: pages that were read can be dropped at once, so the driver seldom waits. The
kernel cannot swap to SMB, so reclaim waits for nothing on the link, and the driver's flag should make no difference.
test_transfer_stops.py describes the driver, its flags and its source.

What to look for in the report: the same as there, and the cost of each direction under the same pressure, side by side.
"""

from __future__ import annotations

import pytest

from harness.faults.net_driver import AllocatingDriver
from harness.monitors.instruments.hog import Hog
from harness.monitors.instruments.sockets import SERVICES, SocketWatch
from harness.plugin.trials import Trial
from harness.storage.nfs import NfsDisk
from harness.storage.smb import SmbDisk
from harness.storage.swap import Swap
from harness.workloads.transfer import Transfer

SECONDS = 40.0  # of transfer, times the budget
NFS = NfsDisk(scratch=True)
SMB = SmbDisk()
SWAPPING = Hog(share=0.4, after_s=8.0)  # × memory: more than is left, so some of it is swapped, over the same link
WITHOUT_SWAP = Hog(share=0.2, after_s=8.0)  # with more, the OOM killer kills it

HANGS = pytest.param("kernel", marks=pytest.mark.reproduces("deadlock"))
DIRECTION = pytest.mark.parametrize("direction", ["outgoing", "incoming"])
PAIR = pytest.mark.topology("pair", modules={"client": ["harness-net"]}, memory={"client": "192 MiB"})


@pytest.mark.parametrize("gfp", [HANGS, "noio", "memalloc_noio"])
@pytest.mark.cost(4)
@PAIR
def test_nfs(trial: Trial, gfp: str) -> None:
    """A file is written on an NFS mount while the host swaps to another file there."""
    load = Transfer(kind="file", path=f"{NFS.mount}/transfer", direction="outgoing", seconds=SECONDS * trial.budget)
    driver = AllocatingDriver(role="client", gfp=gfp)
    storage = Swap(on=NFS, ratio=1.5)
    trial.run(
        storage=storage, workload=load, tunings=[driver], instruments=[SocketWatch(ports=(SERVICES["nfs"],)), SWAPPING]
    )
    assert not driver.unproven(trial.measures)


@pytest.mark.parametrize("gfp", ["kernel", "noio", "memalloc_noio"])
@DIRECTION
@pytest.mark.cost(3)
@PAIR
def test_smb(trial: Trial, direction: str, gfp: str) -> None:
    """A file on an SMB mount, to which the kernel cannot swap: reclaim waits for nothing on the link."""
    load = Transfer(kind="file", path=SMB.path, direction=direction, seconds=SECONDS * trial.budget)
    driver = AllocatingDriver(role="client", gfp=gfp, every=4)
    trial.run(
        storage=SMB, workload=load, tunings=[driver], instruments=[SocketWatch(ports=(SERVICES["smb"],)), WITHOUT_SWAP]
    )
    assert not driver.unproven(trial.measures)
