"""The network driver of ours: it carries what its card carried, counts its allocations, and goes without a trace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from live_site import live_site

from harness.faults.net_driver import DEVICE, GFP, VARIANT, AllocatingDriver
from harness.model.errors import ShellError
from harness.model.settings import Settings
from harness.model.topology import MIB, Host, Link, Topology
from harness.monitors.instruments.capture import Capture
from harness.monitors.instruments.sockets import SocketWatch
from harness.site.addressing import own_module_path
from harness.site.measuring import Measuring
from harness.site.target import Site

pytestmark = pytest.mark.slow

PAIR = Topology(
    name="pair",
    hosts=(Host(name="one", memory=256 * MIB, cpus=2, modules=(VARIANT,)), Host(name="two", memory=256 * MIB, cpus=1)),
    roles={"client": "one", "server": "two"},
    links=(Link(name="cluster", hosts=("one", "two"), subnet="10.77.0.0/24"),),
)
ADDRESSES = "ip -brief -4 address show"


def figures(site: Site, evidence: Path, *parts: Measuring) -> dict[str, float | int | str]:
    return {measure.name: measure.value for part in parts for measure in part.measures(site, evidence)}


@pytest.fixture(scope="module")
def site(shared_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two guests, one of which has the driver; both tests leave them as they were."""
    with live_site(shared_settings, PAIR, tmp_path_factory.mktemp("pair")) as site:
        yield site


def run(site: Site, command: str, *arguments: object, role: str = "client") -> str:
    return site.role(role).shell.run(command, *arguments, deadline=site.deadline(20)).stdout


def test_it_refuses_a_host_that_nobody_called_disposable_and_what_it_does_not_know(site: Site) -> None:
    leave = "this_host_is_disposable=1 lower=eth1"
    refused = {
        "lower=eth1": "Operation not permitted",
        f"{leave} gfp=atomic": "Invalid parameters",
        f"{leave} every=0": "Invalid parameters",
        "this_host_is_disposable=1 lower=eth9": "No such device",
        "this_host_is_disposable=1 lower=lo": "Invalid parameters",
    }
    for parameters, problem in refused.items():
        with pytest.raises(ShellError, match=problem):
            run(site, f"insmod %s {parameters}", own_module_path("harness_net"))
    assert "harness_net" not in run(site, "lsmod")


def test_what_goes_over_the_link_goes_through_the_driver_and_is_watched(site: Site, tmp_path: Path) -> None:
    site.role("client").agent.ask("ping", deadline=site.deadline(5))
    before = run(site, ADDRESSES)
    watch, capture = SocketWatch(ports=(5201,)), Capture()
    watch.prepare(site)
    watch.launch(site)
    for gfp in GFP:
        driver = AllocatingDriver(role="client", gfp=gfp, every=8, ring_kib=64)
        driver.prepare(site)
        driver.inject(site)
        assert DEVICE in run(site, ADDRESSES)
        assert run(site, f"cat /sys/class/net/{DEVICE}/address") == run(site, "cat /sys/class/net/eth1/address")
        capture.prepare(site)
        capture.launch(site)
        run(site, "iperf3 -s -1 -D", role="server")
        run(site, "iperf3 -c 10.77.0.2 -t 3")
        found = figures(site, tmp_path, driver, capture)
        assert int(found["rings allocated to send"]) > 10 and found["rings without memory"] == 0
        assert found["allocation to send under way"] == 0
        assert int(found["packets captured"]) > 10 and (tmp_path / "one-ring0.pcap").stat().st_size > 10_000
        driver.heal(site)
        driver.heal(site)
        assert run(site, ADDRESSES) == before
        run(site, "ping -c 1 -W 5 10.77.0.2")
    found = figures(site, tmp_path, watch)
    assert found["outgoing stalls"] == 0 and int(found["pings on the link"]) > 0
