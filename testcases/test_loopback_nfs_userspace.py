"""Loopback NFS, served by a userspace server: a machine that stands still and says next to nothing.

Four writers dirty an NFS mount, something else holds two fifths of the memory, and the server, nfs-ganesha, runs on the
same machine. Dirty pages of the mount can only be cleaned by the server, and the server needs memory for that. How much
of the memory may be dirty decides whether there is any left for it.

What to look for in the report: with four fifths, `storage`, `alloc`, `fork`, `disk` and `shell` stop together while the
heartbeat of the locked agent goes on; before the recovery probe the console has neither a hung task nor the OOM killer,
only "nfs: server not responding". At the default ratio the same load is through in seconds. Neither a protected server
nor a server elsewhere saves this load at four fifths: there the OOM killer ends it, aloud. So that is no proof of
either protection; a load that only the unprotected server does not bear has yet to be found.
"""

from __future__ import annotations

import pytest

from harness.faults.tuning import Sysctl
from harness.plugin.trials import Trial
from harness.storage.ganesha import GaneshaDisk
from harness.storage.nfs_mount import MOUNT
from harness.workloads.nfs_writers import NfsWriters

MUCH, DEFAULT = 80, 20  # percent of available memory
LOAD = NfsWriters(host="client", mount=MOUNT, workers=4, mib=100, anonymous=0.4)


def dirty_ratio(percent: int) -> Sysctl:
    """How much may be dirty; the background threshold is half of it, as it is by default."""
    return Sysctl(role="client", values={"vm.dirty_background_ratio": percent // 2, "vm.dirty_ratio": percent})


@pytest.mark.reproduces("deadlock")
@pytest.mark.cost(4)
@pytest.mark.topology("loopback")
def test_much_may_be_dirty(trial: Trial) -> None:
    """The server on the same machine, four fifths of memory may be dirty: deadlocks."""
    trial.run(storage=GaneshaDisk(scratch=True), workload=LOAD, tunings=[dirty_ratio(MUCH)])


@pytest.mark.cost(4)
@pytest.mark.topology("loopback")
def test_default(trial: Trial) -> None:
    """The same with the default ratio: survives."""
    trial.run(storage=GaneshaDisk(scratch=True), workload=LOAD, tunings=[dirty_ratio(DEFAULT)])
    assert float(trial.measures["allocation stalls"].value) > 0, "memory was short"


@pytest.mark.reproduces("oom")
@pytest.mark.cost(4)
@pytest.mark.topology("loopback")
def test_protected_server(trial: Trial) -> None:
    """Four fifths, the server an IO flusher (PR_SET_IO_FLUSHER) and locked in memory: the OOM killer ends the load."""
    storage = GaneshaDisk(scratch=True, io_flusher=True, locked=True)
    trial.run(storage=storage, workload=LOAD, tunings=[dirty_ratio(MUCH)])


@pytest.mark.reproduces("oom")
@pytest.mark.cost(6)
@pytest.mark.topology("pair")
def test_server_in_a_guest_of_its_own(trial: Trial) -> None:
    """Four fifths, the server on another machine: slow, and then the OOM killer ends the load on the client."""
    trial.run(storage=GaneshaDisk(scratch=True), workload=LOAD, tunings=[dirty_ratio(MUCH)])
