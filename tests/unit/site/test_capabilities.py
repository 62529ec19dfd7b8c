"""What parts of a plan need of their hosts, and that a host which lacks it is refused in one line."""

from __future__ import annotations

import pytest
from fakes import hypervisor_of, make_site, make_target, make_topology

from harness.drivers.libvirt.guest import OFFERS
from harness.drivers.protocols import Console, DiskThrottle, LinkControl, Pausable, Power, VmmProcess
from harness.faults.base import Fault
from harness.faults.failover import AnswerFencing, TakeOver
from harness.faults.guest import Fence, KillHypervisor, LinkDown, ManagementCut, Pause, PowerOff
from harness.faults.later import Later
from harness.faults.process import KillAgent
from harness.faults.storage import Throttle
from harness.model.errors import UsageError
from harness.monitors.instruments.capture import Capture
from harness.site.capabilities import Capabilities, check_offers, required_by, requirements
from harness.storage.cluster.pacemaker import Pacemaker
from harness.storage.disk import PlainDisk
from harness.storage.failover import FailoverNfs
from harness.storage.loop import LoopDisk
from harness.storage.nfs import NfsDisk

SLOW_NFS = NfsDisk(scratch=True, bytes_per_s=1000)
PARTS: list[tuple[object, Capabilities]] = [
    (LinkDown(role="client", link="lan"), {"client": (LinkControl,)}),
    (ManagementCut(role="client"), {"client": (LinkControl,)}),
    (Pause(role="client"), {"client": (Pausable,)}),
    (PowerOff(role="server"), {"server": (Power,)}),
    (Fence(role="server"), {"server": (Power,)}),
    (KillHypervisor(role="server"), {"server": (VmmProcess,)}),
    (Throttle(role="client", disk="scratch", bytes_per_s=9), {"client": (DiskThrottle,)}),
    (TakeOver(command="x"), {"first": (Power,)}),
    (AnswerFencing(folder="/x"), {"first": (Power,)}),
    (KillAgent(role="client"), {}),
    (Later(part=Capture(host="client")), {}),
    (PlainDisk(), {}),
    (NfsDisk(), {}),
    (SLOW_NFS, {"server": (DiskThrottle,)}),
    (LoopDisk(disk=SLOW_NFS), {"server": (DiskThrottle,)}),
    (FailoverNfs(), {}),
    (FailoverNfs(driver=Pacemaker()), {"first": (Power,), "second": (Power,)}),
]


@pytest.mark.parametrize(("part", "capabilities"), PARTS, ids=[type(part).__name__ for part, _ in PARTS])
def test_a_part_says_what_it_needs(part: object, capabilities: Capabilities) -> None:
    assert required_by(part) == capabilities


def test_what_guests_offer_is_enough_for_every_part() -> None:
    topology = make_topology()
    needed = requirements((part for part, _ in PARTS), topology)
    assert needed
    check_offers(needed, {host.name: OFFERS for host in topology.hosts})


def test_a_host_that_lacks_something_is_refused_with_a_line_for_each_thing() -> None:
    faults: tuple[Fault, ...] = (
        Pause(role="client"),
        Pause(role="client", at_s=9.0),
        PowerOff(role="server"),
        LinkDown(role="client", link="lan"),
    )
    offered = {"c1": frozenset({Power}), "s1": frozenset({Power, Pausable})}
    with pytest.raises(UsageError) as raised:
        check_offers(requirements(faults, make_topology()), offered)
    assert str(raised.value).splitlines() == [
        "Pause needs Pausable, which host 'c1' does not offer; of its topology, these do: s1",
        "LinkDown needs LinkControl, which host 'c1' does not offer; no host of its topology does; a guest would",
    ]


def test_a_role_that_the_topology_does_not_have_is_left_to_whoever_uses_it() -> None:
    assert requirements((Pause(role="nobody"),), make_topology()) == ()


def test_a_target_gives_what_its_host_offers_and_nothing_else() -> None:
    target = make_target(make_topology(), "c1", offers=frozenset({Power, Pausable}))
    assert target.find(Pausable) == hypervisor_of(target) and target.find(Console) is None and target.console is None
    with pytest.raises(UsageError, match="this case needs Console, which host 'c1' does not offer; no host of its"):
        target.need(Console)


def test_disks_and_interfaces_are_facts_and_a_mistake_names_the_way_out() -> None:
    target = make_site().role("client")
    assert target.disk("root").kernel_name == "vda" and target.interface("lan").name == "eth1"
    with pytest.raises(UsageError, match="host 'c1' has no shared disk; give it one, such as shared_disk in its topol"):
        target.disk("shared")
    with pytest.raises(UsageError, match="host 'c1' has no link 'wan'; its links are: lan"):
        target.interface("wan")
