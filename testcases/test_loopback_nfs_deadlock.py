"""Loopback NFS, caches dropped while the server restarts: a deadlock of kernels before 6.7.

Client and server are one machine. The client holds delegations of a hundred files, the server stops for some seconds,
and a process drops caches. To evict an inode, the client has to return its delegation, so the process waits for the
server and holds the lock of the shrinker list. When the server starts again, it registers a shrinker and needs that
lock exclusively. Reported as "deploying both NFS client and server on the same machine triggle hungtask" (linux-nfs,
December 2024); gone since ca1d36b82394 ("mm: vmscan: make global slab shrink lockless", v6.7).

What to look for in the report: only the rung `storage` is ever blocked and memory is not even short, yet the readers
never read again. If the dropper is killed (its wait is killable), everything goes on.
"""

from __future__ import annotations

import pytest

from harness.faults.caches import CacheDropper
from harness.faults.servers import NfsServerRestart
from harness.plugin.trials import Trial
from harness.storage.nfs import NfsDisk
from harness.workloads.delegations import DelegatedReaders

FILES = 100
MOUNT = NfsDisk(client="client", server="server", version="4.2", lease_s=10, grace_s=10)
READERS = DelegatedReaders(host="client", server="server", mount=MOUNT.mount, folder=MOUNT.folder, files=FILES)
RESTART = NfsServerRestart(role="server", at_s=5.0, heal_after_s=6.0)
DROP_S = 7.0  # the server is away
KILL_S = 80.0  # more than twice the protocol's bound of 30 s


@pytest.mark.reproduces("deadlock")
@pytest.mark.cost(3)
@pytest.mark.parametrize(
    "release",
    [
        pytest.param("5.10", marks=pytest.mark.topology("loopback", kernel={"client": "debian:11"})),
        pytest.param("6.1", marks=pytest.mark.topology("loopback", kernel={"client": "debian:12"})),
    ],
)
def test_before_lockless_shrinkers(trial: Trial, release: str) -> None:
    """The dropper waits for the server, and the server for the dropper: deadlocks."""
    trial.run(storage=MOUNT, workload=READERS, faults=[RESTART, CacheDropper(role="client", at_s=DROP_S)])


@pytest.mark.reproduces("stall")
@pytest.mark.cost(4)
@pytest.mark.topology("loopback", kernel={"client": "debian:12"})
def test_dropper_killed(trial: Trial) -> None:
    """The same, and a later `kill -9` of the dropper ends all waits: a stall that ends."""
    dropper = CacheDropper(role="client", at_s=DROP_S, heal_after_s=KILL_S)
    trial.run(storage=MOUNT, workload=READERS, faults=[RESTART, dropper])


@pytest.mark.cost(3)
@pytest.mark.topology("loopback", kernel={"client": "debian:13"})
def test_lockless_shrinkers(trial: Trial) -> None:
    """Linux 6.12: the dropper waits only until the server is back, and everything goes on: survives."""
    trial.run(storage=MOUNT, workload=READERS, faults=[RESTART, CacheDropper(role="client", at_s=DROP_S)])
    held = trial.measures["delegations held before the load"].value
    assert float(held) >= FILES / 2, "there was something to return"
    assert float(trial.measures["delegations returned"].value) >= float(held) / 2
    assert trial.measures["caches dropped"].value == "yes"
