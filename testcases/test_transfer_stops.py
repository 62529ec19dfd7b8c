"""The transfer that stops: a network driver that allocates memory before it sends.

Long transfers over IPoIB stopped, for seconds or for hours, while SSH over another network went on. mthca allocates
with GFP_KERNEL on paths that writeback needs: reclaim may then wait for pages that can only be written over that very
device. IPoIB got GFP_NOIO in 09b93088d750 ("IB/ipoib: use GFP_NOIO for QP creation"), and today memalloc_noio_save();
mthca has neither. On guests our module harness-net stands for such a driver: before every 256th packet its work item
allocates a ring of 64 KiB. Not more often: a driver that allocates all the time is slow with any flag. The rows of one
load differ in that flag alone. Seconds after the start of a transfer a hog takes more memory than there is.

What to look for in the report: with `kernel`, "allocation to send under way" is as long as the hang, since the driver
waits for memory and reclaim for the driver; the diagnosis draws that cycle. `net` and `storage` are hatched, and the
ping on the link stops with the transfer, while `heartbeat` goes on. "socket in the longest stall" is like `ss -ti`.
With `noio` and `memalloc_noio` the same pressure ("allocation stalls", "pages swapped out") only costs speed.
"""

from __future__ import annotations

import pytest

from harness.faults.base import Fault
from harness.faults.net_driver import AllocatingDriver, IpoibMode
from harness.faults.tuning import Sysctl
from harness.faults.workarounds import CachesDroppedEvery
from harness.monitors.instruments.capture import Capture
from harness.monitors.instruments.hog import Hog
from harness.monitors.instruments.sockets import SERVICES, SocketWatch
from harness.plugin.trials import Trial
from harness.storage.nbd import NbdSwap
from harness.workloads.thrash import SwapThrash
from harness.workloads.transfer import Transfer

SECONDS = 40.0  # of transfer, times the budget
SWAP = NbdSwap(ratio=2.0)
PACKETS = Capture(host="server")  # a capture could not be fetched from the client once it hangs
IPERF3 = SocketWatch(ports=(SERVICES["iperf3"],))
# × memory: more than is left, so some of it is swapped, over the same link. But not much more: the process that reads
# the transfer needs memory as well, and a receive queue that it does not empty is no stall of the driver.
SWAPPING = Hog(share=0.4, after_s=8.0)

HANGS = pytest.param("kernel", marks=pytest.mark.reproduces("deadlock"))
GFP = pytest.mark.parametrize("gfp", [HANGS, "noio", "memalloc_noio"])
DIRECTION = pytest.mark.parametrize("direction", ["outgoing", "incoming"])
PAIR = pytest.mark.topology("pair", modules={"client": ["harness-net"]}, memory={"client": "192 MiB"})
OFTEN = CachesDroppedEvery(role="client", seconds=5.0)
UNSWAPPY = Sysctl(role="client", values={"vm.swappiness": 0})


@GFP
@pytest.mark.cost(3)
@pytest.mark.topology("nbd-remote", modules={"client": ["harness-net"]})
def test_writeback(trial: Trial, gfp: str) -> None:
    """Swap over NBD as in test_nbd_swap.py, with the stock NBD driver: only the network driver differs."""
    load = SwapThrash(ram_ratio=2.0)
    driver = AllocatingDriver(role="client", gfp=gfp)
    trial.run(storage=NbdSwap(), workload=load, tunings=[driver], instruments=[SocketWatch(ports=(SERVICES["nbd"],))])
    assert not driver.unproven(trial.measures)


@GFP
@DIRECTION
@pytest.mark.cost(3)
@PAIR
def test_iperf3(trial: Trial, direction: str, gfp: str) -> None:
    """iperf3 while the host swaps to an NBD over the same link."""
    load = Transfer(direction=direction, seconds=SECONDS * trial.budget)
    driver = AllocatingDriver(role="client", gfp=gfp)
    trial.run(storage=SWAP, workload=load, tunings=[driver], instruments=[IPERF3, PACKETS, SWAPPING])
    assert not driver.unproven(trial.measures)


@pytest.mark.reproduces("deadlock")
@pytest.mark.parametrize(
    "mitigations",
    [
        pytest.param([UNSWAPPY], id="swappiness 0"),
        pytest.param([OFTEN], id="drop caches"),
        pytest.param([UNSWAPPY, OFTEN], id="both"),
    ],
)
@pytest.mark.cost(3)
@PAIR
def test_mitigations(trial: Trial, mitigations: list[Fault]) -> None:
    """Administrators' workarounds, on the side that hangs: compare "time to hang" with test_iperf3."""
    load = Transfer(seconds=SECONDS * trial.budget)
    tunings: list[Fault] = [AllocatingDriver(role="client", gfp="kernel"), *mitigations]
    trial.run(storage=SWAP, workload=load, tunings=tunings, instruments=[IPERF3, SWAPPING])


@pytest.mark.requires("ipoib")
@pytest.mark.parametrize("mode", ["connected", "datagram"])
@DIRECTION
@pytest.mark.cost(60)
@pytest.mark.profile("soak")
@pytest.mark.topology("pair")
def test_ipoib(trial: Trial, direction: str, mode: str) -> None:
    """The original setup of the report, on hosts with InfiniBand; the driver of the adapter is a measure."""
    load = Transfer(direction=direction, seconds=3600 * trial.budget)
    tunings = [IpoibMode(role="client", mode=mode), IpoibMode(role="server", mode=mode)]
    trial.run(storage=SWAP, workload=load, tunings=tunings, instruments=[IPERF3, PACKETS, SWAPPING])
