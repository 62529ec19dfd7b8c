"""Guests on a VDE switch of the owner's: they reach each other over it, restored too, and its end is noticed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from live_site import live_site
from live_trials import guests_of

from harness.drivers.libvirt.vde import VdeSwitch
from harness.model.clock import SYSTEM_CLOCK, Deadline
from harness.model.errors import InfraError, UsageError
from harness.model.settings import Settings
from harness.model.topology import MIB, Host, Link, Topology

NAMES = ("one", "two")
MACS = "ping -c 3 -W 5 %s >/dev/null && ip neigh show %s | grep -o 'lladdr [0-9a-f:]*'"


@pytest.fixture
def switch() -> Iterator[VdeSwitch]:
    """One that runs in a folder of its own, as its owner's would."""
    with (
        tempfile.TemporaryDirectory(prefix="ho-", dir="/tmp") as folder,
        closing(VdeSwitch(Path(folder) / "ctl")) as found,
    ):
        yield found


def test_guests_reach_each_other_over_it_and_its_end_is_an_error(
    switch: VdeSwitch, settings: Settings, tmp_path: Path
) -> None:
    hosts = tuple(Host(name=name, memory=192 * MIB) for name in NAMES)
    link = Link(name="cluster", hosts=NAMES, switch=str(switch.socket))
    topology = Topology(name="twins", hosts=hosts, links=(link,), roles={name: name for name in NAMES})
    with live_site(settings, topology, tmp_path) as site:
        one, two = (site.role(name) for name in NAMES)
        address = site.address(two, seen_from=one)
        seen = one.shell.run(MACS, address, address, deadline=Deadline.after(60.0)).stdout.split()
        assert seen == ["lladdr", "52:54:00:68:01:01"], "it is that guest, and not its template"
        assert len(guests_of(settings.state)) == len(NAMES), "no switch of the harness's own"
        assert site.failure() is None
        switch.close()
        deadline = Deadline.after(10.0)
        while site.failure() is None and not deadline.passed:
            SYSTEM_CLOCK.sleep(0.1)
        assert isinstance(site.failure(), InfraError) and "of link cluster ended" in str(site.failure())
    again = live_site(settings, topology, tmp_path)
    with pytest.raises(UsageError, match="is not the folder of a running vde_switch"), again:
        pass
