"""The cable is unplugged while a machine swaps over NBD, and plugged in again: what recovers?

Swap is on another machine; for 60 s, or for more than three minutes, no packet gets there. With nbd-client's defaults
(3.24: it hands its socket to the kernel and ends) requests wait as long as TCP retries. TCP retries ever more rarely,
because its timer doubles: after an outage, the next retransmission may take as long again as the outage did. A
connection that is remade by a process independent of the swap (`Kept(guarded=True)`: dead_conn_timeout, mlockall,
PR_SET_IO_FLUSHER) goes on within seconds of the cable.

With `-timeout` requests fail. The result depends on what holds the connection. With a process (`-nonetlink`), tasks
that need a page die, and the machine is free again. Without one the dead device stays. Then either the load dies at
once, or reclaim writes the same pages to the device millions of times and frees none, and the OOM killer does nothing
while most of the swap is free. Which of the two happens differs from run to run, so it is no row here.

What to look for in the report: the length of the stall against that of the outage, and "pages swapped out". Meanwhile
`alloc` and `fork` are blocked, although the machine has lost nothing but its swap.
"""

from __future__ import annotations

import pytest

from harness.faults.guest import LinkDown
from harness.plugin.trials import Trial
from harness.storage.nbd import NbdSwap
from harness.storage.nbd_client import HandedOver, Held, Kept
from harness.workloads.thrash import SwapThrash

LOAD = SwapThrash(host="client", processes_per_cpu=8, ram_ratio=1.5, passes=1)
AT_S = 20.0
LONG = pytest.param(200.0, marks=[pytest.mark.profile("soak"), pytest.mark.cost(9)])


def pulled(outage_s: float) -> LinkDown:
    return LinkDown(role="client", link="cluster", at_s=AT_S, heal_after_s=outage_s)


@pytest.mark.cost(5)
@pytest.mark.reproduces("stall")
@pytest.mark.topology("nbd-remote")
@pytest.mark.parametrize("outage_s", [60.0, LONG])
@pytest.mark.parametrize("connection", [HandedOver(), Held(persist=True)], ids=["plain", "persist"])
def test_without_a_timeout(trial: Trial, connection: HandedOver | Held, outage_s: float) -> None:
    """No request fails, and none completes until TCP retries: a stall longer than the outage."""
    trial.run(storage=NbdSwap(connection=connection), workload=LOAD, faults=[pulled(outage_s)])


@pytest.mark.cost(4)
@pytest.mark.topology("nbd-remote")
@pytest.mark.parametrize("outage_s", [60.0, LONG])
def test_kept(trial: Trial, outage_s: float) -> None:
    """A process reconnects: goes on when the cable is back, within dead_conn_timeout."""
    kept = Kept(dead_conn_timeout_s=600, wait_s=int(outage_s) + 20, guarded=True)
    trial.run(storage=NbdSwap(connection=kept), workload=LOAD, faults=[pulled(outage_s)])
    assert trial.measures["connections made anew"].value
    assert int(trial.measures["pages swapped out"].value) > 10_000


@pytest.mark.cost(3)
@pytest.mark.reproduces("io-failure")
@pytest.mark.topology("nbd-remote")
def test_persist_with_a_timeout(trial: Trial) -> None:
    """Requests fail after 15 s, and tasks that need those pages die; init and the agent, locked in memory, live on."""
    connection = Held(persist=True, timeout_s=15)
    trial.run(storage=NbdSwap(connection=connection), workload=LOAD, faults=[pulled(60.0)])
