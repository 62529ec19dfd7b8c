"""The server of a machine's swap is killed, and comes back after 5 s: who makes the connection anew?

nbd-client does not (3.24): it hands its socket to the kernel and ends, and where it stays (`-nonetlink`) the ioctl that
it sits in returns 0 when a server dies, so that even with `-persist` it says "Kernel call returned." and ends
(https://github.com/NetworkBlockDevice/nbd/issues/93). The kernel's own way is dead_conn_timeout: requests wait, and a
process that hears of it over netlink hands over a new socket.

That process is the case: it needs memory while there is none, and its own may be on the very swap that it is to bring
back. Not locked in memory it waits in do_swap_page below netlink_recvmsg, for the device that waits for it. Locked,
exempt from the OOM killer and an IO flusher (prctl(2), since v5.6) it has a new connection within a second.

Where nobody is left to make a connection, requests fail. With a process that held it the device is gone: a page that
cannot be read kills whoever needs it (SIGBUS), login shells and sshd included, and what is locked in memory, the agent
and init, goes on. But what was sent and not answered fails only if that process was killed (nbd_clear_que() in
nbd_start_device_ioctl(), v6.1) or there is a timeout; else it stays in flight for ever ("Possible stuck request"), and
whoever waits for it with it. Where the connection was handed over the device stays as well: reclaim writes the same
pages to it again and again, and the machine hangs without one OOM line. Without a timeout it differs from run to run
whether the load dies first, held or handed over, so neither is a row here.

What to look for in the report: with `guarded` progress goes on when the server is back, and "connections made anew" is
1. With `unguarded` it ends with the fault, and the stack of nbd-keeper is among the evidence (sysrq-w).
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.faults.process import KillProcess
from harness.faults.servers import NbdServerRestart
from harness.plugin.trials import Trial
from harness.storage.nbd import NbdSwap
from harness.storage.nbd_client import Held, Kept
from harness.workloads.thrash import SwapThrash

LOAD = SwapThrash(host="client", processes_per_cpu=8, ram_ratio=1.5, passes=1)
RESTART = NbdServerRestart(role="server", at_s=20.0, heal_after_s=5.0)
# For what dies of swap that cannot be read: it reads all the time, and has long filled its memory when the fault comes.
# Caught while it fills, nobody reads, nobody dies, and reclaim writes to what takes nothing.
READING = SwapThrash(host="client", processes_per_cpu=8, ram_ratio=1.0, passes=0, limit_s=240.0)
DIES_S = 90.0
PRESSURE = 10_000  # pages swapped out; a survivor that had less was not tried


def swap(*, guarded: bool) -> NbdSwap:
    return NbdSwap(connection=Kept(dead_conn_timeout_s=600, wait_s=30, guarded=guarded))


@pytest.mark.cost(4)
@pytest.mark.topology("nbd-remote")
def test_guarded(trial: Trial) -> None:
    """Who makes the connection anew needs nothing that is on the swap: survives."""
    trial.run(storage=swap(guarded=True), workload=LOAD, faults=[RESTART])
    assert trial.measures["connections made anew"].value == 1
    assert int(trial.measures["pages swapped out"].value) > PRESSURE


@pytest.mark.cost(4)
@pytest.mark.reproduces("deadlock")
@pytest.mark.topology("nbd-remote")
def test_unguarded(trial: Trial) -> None:
    """The same process, neither locked in memory nor an IO flusher: deadlocks, though the server is back."""
    trial.run(storage=swap(guarded=False), workload=LOAD, faults=[RESTART])


@pytest.mark.cost(4)
@pytest.mark.reproduces("io-failure")
@pytest.mark.topology("nbd-remote")
def test_persist(trial: Trial) -> None:
    """nbd-client with -persist -timeout, which does not dial: the load dies of swap that cannot be read."""
    restart = replace(RESTART, at_s=DIES_S)
    trial.run(storage=NbdSwap(connection=Held(persist=True, timeout_s=15)), workload=READING, faults=[restart])


@pytest.mark.cost(4)
@pytest.mark.reproduces("io-failure")
@pytest.mark.topology("nbd-remote")
def test_client_killed(trial: Trial) -> None:
    """nbd-client itself is killed, the server is well: the kernel shuts the socket, and the same happens."""
    killed = KillProcess(role="client", comm="nbd-client", at_s=DIES_S)
    trial.run(storage=NbdSwap(connection=Held()), workload=READING, faults=[killed])
