"""Swap over NBD with one thing at a time changed from test_nbd_swap.py: what matters, and what does not?

The client: nbd-client with `-nonetlink`, where a process holds the connection. `-swap` should lock it in memory and
exempt it from the OOM killer. But it locks itself and then forks into the background, and a child of fork(2) inherits
no locks (mlock(2)), so it stays locked only in the foreground (`-nofork`). It makes no difference: the process only
waits in an ioctl. The kernel's own sending and receiving must not wait for memory.

The server: nbdkit, and nbdkit locked in memory on the same machine (`--swap`, which also forks after locking). Locked
or not, it has to receive packets and write a file, and both need memory: it deadlocks.

The load: pages of shared memory (tmpfs) instead of anonymous ones; they are swapped out by other code.

What to look for in the report: "memory that it has locked" beside the verdicts, and how few pages were swapped in a
deadlock.
"""

from __future__ import annotations

import pytest

from harness.plugin.trials import Trial
from harness.storage.nbd import NbdSwap
from harness.storage.nbd_client import Held
from harness.storage.nbd_server import NbdServer
from harness.workloads.thrash import SwapThrash

LOAD = SwapThrash(host="client", processes_per_cpu=8, ram_ratio=2.0, passes=1)
SHMEM = SwapThrash(host="client", processes_per_cpu=8, ram_ratio=4.0, passes=1, memory="shmem")
SHMEM_SWAP = NbdSwap(ratio=5.0, program=NbdServer(program="nbdkit"))
NBDKIT, LOCKED = NbdServer(program="nbdkit"), NbdServer(program="nbdkit", locked=True)
PRESSURE = 20_000  # pages swapped out; a survivor with fewer proves nothing


def pressed(trial: Trial) -> bool:
    return int(trial.measures["pages swapped out"].value) > PRESSURE


@pytest.mark.cost(5)
@pytest.mark.topology("nbd-remote")
@pytest.mark.parametrize("connection", [Held(fork=False), Held(swap=False)], ids=["locked", "bare"])
def test_client(trial: Trial, connection: Held) -> None:
    """A process holds the connection, with and without all of nbd-client's protections: survives both ways."""
    trial.run(storage=NbdSwap(connection=connection, program=NBDKIT), workload=LOAD)
    assert (trial.measures["memory that it has locked"].value != 0) is connection.swap
    assert pressed(trial)


@pytest.mark.cost(5)
@pytest.mark.topology("nbd-remote")
def test_shmem(trial: Trial) -> None:
    """Shared memory, nbdkit, the distribution's kernel: survives."""
    trial.run(storage=SHMEM_SWAP, workload=SHMEM)
    assert pressed(trial)


@pytest.mark.cost(3)
@pytest.mark.reproduces("deadlock")
@pytest.mark.topology("nbd-remote", modules={"client": ["nbd-no-memalloc"]})
def test_shmem_patch_undone(trial: Trial) -> None:
    """Shared memory, nbd.ko without the memalloc protections: deadlocks."""
    trial.run(storage=SHMEM_SWAP, workload=SHMEM)


@pytest.mark.cost(3)
@pytest.mark.reproduces("deadlock")
@pytest.mark.topology("single", memory={"client": "512 MiB"})  # the locked server takes 200 MB of it
def test_loopback_locked(trial: Trial) -> None:
    """The server on the client itself, locked in memory: deadlocks all the same."""
    trial.run(storage=NbdSwap(program=LOCKED), workload=LOAD)
