"""Faults of storage: who is asked to do what, and that each is healed the way it was done."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest
from fakes import FakeTransport, agent_of, hypervisor_of, make_site, make_topology, shell_of

from harness.faults.base import Fault
from harness.faults.storage import DmDelay, DmSuspend, Freeze, Throttle
from harness.model.clock import Deadline
from harness.model.errors import UsageError
from harness.model.topology import MIB
from harness.site.target import Site

SUSPEND = 1 << 1


@pytest.fixture
def site() -> Site:
    topology = make_topology()
    return make_site(replace(topology, hosts=tuple(replace(host, scratch=64 * MIB) for host in topology.hosts)))


def kernel_says(site: Site, flags: int) -> None:
    agent_of(site.role("client")).replies["ioctl"] = struct.pack("=28xI280x", flags).hex()


def tables(site: Site) -> list[bytes]:
    """What was put to the device-mapper: the kind of a table that was loaded, or what a suspend or resume says."""
    found = []
    for _, arguments in agent_of(site.role("client")).asked:
        data = bytes.fromhex(str(arguments["data"]))
        flags = struct.unpack_from("=I", data, 28)[0]
        found.append(data[336:352].rstrip(b"\0") or (b"suspend" if flags & SUSPEND else b"resume"))
    return found


def test_suspend_and_resume(site: Site) -> None:
    kernel_says(site, SUSPEND)
    DmSuspend(role="client").inject(site)
    kernel_says(site, 0)
    DmSuspend(role="client").heal(site)
    assert tables(site) == [b"suspend", b"resume"], "a heal that loads a table needs memory that may be gone"


def test_delay_and_back(site: Site) -> None:
    kernel_says(site, 0)
    fault = DmDelay(role="client", milliseconds=4000)
    fault.inject(site)
    assert tables(site) == [b"delay", b"resume"], "the last step is the one that takes effect"
    fault.heal(site)
    assert tables(site)[2:] == [b"linear", b"resume"]
    assert not shell_of(site.role("client")).commands


def test_freeze_and_thaw(site: Site) -> None:
    fault = Freeze(role="client", mount="/srv/a b")
    fault.inject(site)
    fault.heal(site)
    assert shell_of(site.role("client")).commands == ["fsfreeze -f '/srv/a b'", "fsfreeze -u '/srv/a b'"]


def test_throttle_and_no_limit(site: Site) -> None:
    fault = Throttle(role="client", disk="scratch", bytes_per_s=2048)
    fault.inject(site)
    fault.heal(site)
    client = site.role("client")
    assert hypervisor_of(client).acts == ["throttle scratch 2048", "throttle scratch None"]
    assert not shell_of(client).commands and not agent_of(client).asked, "it needs nothing of the guest"


@pytest.mark.parametrize("value", [0, -1])
def test_what_would_do_nothing_is_refused(value: int) -> None:
    with pytest.raises(UsageError, match="is no delay; give 1 or more"):
        DmDelay(role="client", milliseconds=value)
    with pytest.raises(UsageError, match="is no rate; give 1 or more"):
        Throttle(role="client", disk="scratch", bytes_per_s=value)


@pytest.mark.parametrize(
    "fault",
    [
        DmSuspend(role="client", at_s=3.0, heal_after_s=5.0),
        DmDelay(role="client", milliseconds=7, at_s=3.0, heal_after_s=5.0),
        Freeze(role="client", mount="/srv/harness", at_s=3.0, heal_after_s=5.0),
        Throttle(role="client", disk="scratch", bytes_per_s=9, at_s=3.0, heal_after_s=5.0),
    ],
)
def test_each_says_when_and_what(fault: Fault) -> None:
    assert (fault.at_s, fault.heal_after_s) == (3.0, 5.0)
    assert "client" in fault.describe()


def test_healing_a_delay_may_take_longer_than_the_delay(site: Site) -> None:
    kernel_says(site, 0)
    fake, remaining = agent_of(site.role("client")), list[float]()

    class Timed:
        """Notes how long each answer may take."""

        transport = FakeTransport()

        def ask(self, verb: str, *, deadline: Deadline, **arguments: object) -> str:
            remaining.append(deadline.remaining)
            return fake.ask(verb, deadline=deadline, **arguments)

    timed = Site(topology=site.topology, targets={"c1": replace(site.role("client"), agent=Timed())})
    DmDelay(role="client", milliseconds=60_000).heal(timed)
    assert len(remaining) == 2 and min(remaining) > 2 * 60
