"""Loopback NFS with a userspace server: a machine that hangs almost silently.

Four writers dirty an NFS mount, an allocation holds a fifth of the memory, and the server, nfs-ganesha, runs on the
same machine. Only the server can clean dirty pages of the mount, and it needs memory for that. The share of memory that
may be dirty decides whether any is left for it.

What to look for in the report: with three fifths, `storage`, `alloc`, `fork`, `disk` and `shell` stop together while
the heartbeat of the locked agent goes on. Before the recovery probe the console shows neither a hung task nor the OOM
killer, only "nfs: server not responding".

With the server in a guest of its own, the article's workaround, the same load finishes in seconds. Protecting the
server on the same machine (IO flusher, locked memory) is no cure: the locked memory is missing elsewhere, so the OOM
killer visibly ends the load, or it deadlocks all the same. Nor is the default dirty ratio of a fifth: by chance the
load finishes, or server and writers slow each other down to a page a second, so it is no row here.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.faults.tuning import Sysctl
from harness.plugin.trials import Trial
from harness.storage.ganesha import GaneshaDisk
from harness.storage.nfs_mount import MOUNT
from harness.workloads.nfs_writers import NfsWriters

# Percent of available memory that may be dirty; the background threshold is half of it, like the default.
MUCH = Sysctl(role="client", values={"vm.dirty_background_ratio": 30, "vm.dirty_ratio": 60})
LOAD = NfsWriters(host="client", mount=MOUNT, workers=4, mib=100, anonymous=0.2)
# For the protected server: less may be dirty, and more is held.
LESS = Sysctl(role="client", values={"vm.dirty_background_ratio": 20, "vm.dirty_ratio": 40})
MORE_HELD = replace(LOAD, anonymous=0.4)


@pytest.mark.reproduces("deadlock")
@pytest.mark.cost(4)
@pytest.mark.topology("loopback")
def test_much_may_be_dirty(trial: Trial) -> None:
    """The server on the same machine, three fifths of memory may be dirty: deadlocks."""
    trial.run(storage=GaneshaDisk(scratch=True), workload=LOAD, tunings=[MUCH])


@pytest.mark.reproduces("oom", "deadlock")
@pytest.mark.cost(4)
@pytest.mark.topology("loopback")
def test_protected_server(trial: Trial) -> None:
    """Two fifths dirty, two held, the server locked and an IO flusher (PR_SET_IO_FLUSHER): does not survive."""
    storage = GaneshaDisk(scratch=True, io_flusher=True, locked=True)
    trial.run(storage=storage, workload=MORE_HELD, tunings=[LESS])


@pytest.mark.cost(4)
@pytest.mark.topology("pair")
def test_server_in_a_guest_of_its_own(trial: Trial) -> None:
    """Three fifths, the server on another machine: survives."""
    trial.run(storage=GaneshaDisk(scratch=True), workload=LOAD, tunings=[MUCH])
    assert float(trial.measures["allocation stalls"].value) > 0, "memory was short"
