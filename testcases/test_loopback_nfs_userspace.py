"""Loopback NFS, served by a userspace server: a machine that stands still without one line on its console.

Four writers dirty an NFS mount, something else holds two fifths of the memory, and the server, nfs-ganesha, runs on the
same machine. Dirty pages of the mount can only be cleaned by the server, and the server needs memory for that. How much
of the memory may be dirty decides whether there is any left: `vm.dirty_ratio` is of what is available when it is asked,
and the kernel lets no user process have the reserves that its own NFS server has.

What to look for in the report: at a high `vm.dirty_ratio` every rung goes dark at once, the heartbeat of a locked
real-time task among them, and the console says nothing: no hung task, no OOM killer. At the default ratio everything is
slow and alive. The article's workaround, the server in a guest of its own with memory of its own, survives the same.
"""

from __future__ import annotations

import pytest

from harness.faults.tuning import Sysctl
from harness.plugin.trials import Trial
from harness.storage.ganesha import GaneshaDisk
from harness.storage.nfs_mount import MOUNT
from harness.workloads.nfs_writers import NfsWriters

MUCH, DEFAULT = 80, 20  # percent of available memory
LOAD = NfsWriters(host="client", mount=MOUNT, workers=4, mib=100, anonymous=0.3)


def dirty_ratio(percent: int) -> Sysctl:
    """How much may be dirty; the background threshold is half of it, as it is by default."""
    return Sysctl(role="client", values={"vm.dirty_background_ratio": percent // 2, "vm.dirty_ratio": percent})


@pytest.mark.reproduces("deadlock")
@pytest.mark.cost(4)
@pytest.mark.topology("loopback")
def test_much_may_be_dirty(trial: Trial) -> None:
    """The server on the same machine, four fifths of memory may be dirty: nothing moves any more."""
    trial.run(storage=GaneshaDisk(scratch=True), workload=LOAD, tunings=[dirty_ratio(MUCH)])


@pytest.mark.cost(4)
@pytest.mark.topology("loopback")
def test_default(trial: Trial) -> None:
    """The same with the default ratio: survives."""
    trial.run(storage=GaneshaDisk(scratch=True), workload=LOAD, tunings=[dirty_ratio(DEFAULT)])


@pytest.mark.cost(4)
@pytest.mark.topology("loopback")
def test_protected_server(trial: Trial) -> None:
    """The server an IO flusher (PR_SET_IO_FLUSHER) and locked in memory, four fifths may be dirty: to be seen."""
    storage = GaneshaDisk(scratch=True, io_flusher=True, locked=True)
    trial.run(storage=storage, workload=LOAD, tunings=[dirty_ratio(MUCH)])


@pytest.mark.cost(4)
@pytest.mark.topology("pair")
def test_server_in_a_guest_of_its_own(trial: Trial) -> None:
    """The same load, the server on another machine: survives."""
    trial.run(storage=GaneshaDisk(scratch=True), workload=LOAD, tunings=[dirty_ratio(MUCH)])
