"""The server of a machine's swap is killed, and comes back after 5 s: which process reconnects?

nbd-client does not (3.24). By default it hands its socket to the kernel and ends. With `-nonetlink` it stays in an
ioctl, but that ioctl returns 0 when a server dies, so even with `-persist` it prints "Kernel call returned." and ends
(https://github.com/NetworkBlockDevice/nbd/issues/93). The kernel offers dead_conn_timeout: requests wait, and a process
that is notified over netlink hands over a new socket.

This case is about that process. It needs memory while there is none, and its own pages may be on the very swap that it
has to bring back. If it is not locked in memory, it waits in do_swap_page below netlink_recvmsg for the device that
waits for it. If it is locked, exempt from the OOM killer and an IO flusher (prctl(2), since v5.6), it has a new
connection within a second.

If no process is left to reconnect, requests fail. If a process held the connection, the device is gone. A page that
cannot be read then kills the task that needs it (SIGBUS), login shells and sshd included; tasks locked in memory, the
agent and init, go on. But requests in flight fail only if that process was killed (nbd_clear_que() in
nbd_start_device_ioctl(), v6.1) or if there is a timeout. Otherwise they stay in flight for ever ("Possible stuck
request"), and so do the tasks that wait for them. If the connection was handed over, the device stays as well: reclaim
writes the same pages to it again and again, and the machine hangs without one OOM line. Without a timeout, held or
handed over, it differs from run to run whether the load dies first, so neither is a row here.

What to look for in the report: with `guarded`, progress goes on when the server is back, and "connections made anew" is
1. With `unguarded`, progress ends with the fault, and the evidence has the stack of nbd-keeper (sysrq-w).
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
# A load that dies when swap cannot be read: it reads all the time, and has filled its memory long before the fault. If
# the fault came while it fills, no process would read and die, and reclaim would write to a dead device.
READING = SwapThrash(host="client", processes_per_cpu=8, ram_ratio=1.0, passes=0, limit_s=240.0)
DIES_S = 90.0
PRESSURE = 10_000  # pages swapped out; a survivor with fewer proves nothing


def swap(*, guarded: bool) -> NbdSwap:
    return NbdSwap(connection=Kept(dead_conn_timeout_s=600, wait_s=30, guarded=guarded))


@pytest.mark.cost(4)
@pytest.mark.topology("nbd-remote")
def test_guarded(trial: Trial) -> None:
    """The process that reconnects needs nothing that is on the swap: survives."""
    trial.run(storage=swap(guarded=True), workload=LOAD, faults=[RESTART])
    assert trial.measures["connections made anew"].value == 1
    assert int(trial.measures["pages swapped out"].value) > PRESSURE


@pytest.mark.cost(4)
@pytest.mark.reproduces("deadlock")
@pytest.mark.topology("nbd-remote")
def test_unguarded(trial: Trial) -> None:
    """The same process, neither locked in memory nor an IO flusher: deadlocks although the server is back."""
    trial.run(storage=swap(guarded=False), workload=LOAD, faults=[RESTART])


@pytest.mark.cost(4)
@pytest.mark.reproduces("io-failure")
@pytest.mark.topology("nbd-remote")
def test_persist(trial: Trial) -> None:
    """nbd-client with -persist -timeout, which does not dial again: the load dies because swap cannot be read."""
    restart = replace(RESTART, at_s=DIES_S)
    trial.run(storage=NbdSwap(connection=Held(persist=True, timeout_s=15)), workload=READING, faults=[restart])


@pytest.mark.cost(4)
@pytest.mark.reproduces("io-failure")
@pytest.mark.topology("nbd-remote")
def test_client_killed(trial: Trial) -> None:
    """nbd-client itself is killed, the server runs on: the kernel shuts the socket down, with the same result."""
    killed = KillProcess(role="client", comm="nbd-client", at_s=DIES_S)
    trial.run(storage=NbdSwap(connection=Held()), workload=READING, faults=[killed])
