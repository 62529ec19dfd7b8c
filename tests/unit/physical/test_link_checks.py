"""Addresses on links that would keep hosts apart are told, in one line each, before a host is changed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from surveys import interface, survey

from harness.model.errors import UsageError
from harness.model.owned_host import OwnedHost
from harness.model.topology import MIB, Host, Link, Topology
from harness.physical import provider
from harness.physical.link_checks import disagreements
from harness.physical.survey import HostSurvey, SurveyedInterface

SPEC = OwnedHost(address="192.0.2.11", host_key="ssh-ed25519 AAAA", links={"cluster": "eth1"}, disposable=True)
MANAGEMENT = interface("eth0", addresses=("192.0.2.11/24",), is_management=True)
SWITCH = "/run/vde/rack.ctl"
OTHER_NET = "give link cluster another subnet"


def rack(*hosts: str, switch: str = SWITCH, subnet: str = "10.77.0.0/24") -> Topology:
    """A link of these hosts; `g…` are guests."""
    found = (
        Host(name=name, memory=64 * MIB) if name.startswith("g") else Host(name=name, memory=0, owned=SPEC)
        for name in hosts
    )
    return Topology(
        name="x", hosts=tuple(found), links=(Link(name="cluster", hosts=hosts, switch=switch, subnet=subnet),)
    )


def cards(*own: str, others: Sequence[SurveyedInterface] = (), **changes: Any) -> HostSurvey:
    return survey(interfaces=(MANAGEMENT, interface("eth1", addresses=own, **changes), *others))


def said(topology: Topology, **found: HostSurvey) -> list[str]:
    return disagreements(topology, {name: (SPEC, one) for name, one in found.items()})


@pytest.mark.parametrize(
    ("topology", "found"),
    [
        (rack("g1", "m1"), {"m1": cards()}),
        (rack("g1", "m1"), {"m1": cards("192.168.5.3/24")}),
        (rack("g1", "m1"), {"m1": cards("10.77.0.2/24", "fe80::1/64", "169.254.1.1/16")}),
        (rack("g1", "m1"), {"m1": cards("10.77.0.9/24")}),
        (rack("m1", "m2", switch=""), {"m1": cards(), "m2": cards()}),
        (rack("m1", "m2", switch=""), {"m1": cards("10.77.0.2/24"), "m2": cards("10.77.0.1/24")}),
        (rack("m1", "m2", switch=""), {"m1": cards("192.168.5.3/24"), "m2": cards("192.168.6.3/24")}),
        (rack("m1", "m2", switch="", subnet="192.168.5.0/24"), {"m1": cards("192.168.5.3/24"), "m2": cards()}),
    ],
)
def test_hosts_that_reach_each_other_are_left_alone(topology: Topology, found: dict[str, HostSurvey]) -> None:
    assert said(topology, **found) == []


@pytest.mark.parametrize(
    ("own", "others"),
    [(("10.77.0.1/24",), ()), (("10.77.0.1/32",), ()), ((), (interface("lo", addresses=("10.77.0.1/32",)),))],
)
def test_the_address_of_a_guest_is_not_a_machines_own(
    own: tuple[str, ...], others: Sequence[SurveyedInterface]
) -> None:
    lines = said(rack("g1", "m1"), m1=cards(*own, others=others))
    name = others[0].name if others else "eth1"
    assert lines[0] == f"host m1: its {name} has 10.77.0.1, which g1 would get on link cluster; {OTHER_NET}"


def test_a_machine_that_gets_an_address_is_not_given_anothers() -> None:
    lines = said(rack("m1", "m2", switch=""), m1=cards("10.77.0.2/24"), m2=cards())
    assert lines == [
        "host m1: its eth1 has 10.77.0.2, which m2 would get on link cluster; give m2 an address of its own there"
    ]


@pytest.mark.parametrize("network", ["10.77.0.9/24", "10.0.0.7/8", "10.77.0.18/28"])
def test_the_network_of_another_card_is_not_put_on_a_link(network: str) -> None:
    """The management network of a host, say: the harness would be sent over the link from then on."""
    other = interface("eth2", addresses=(network,))
    expected = f"host m1: its eth2 has {network}, in the network 10.77.0.0/24 that link cluster would get on eth1; "
    assert said(rack("g1", "m1"), m1=cards("192.168.5.3/24", others=[other])) == [expected + OTHER_NET]
    keeps = said(rack("m1", "m2", switch=""), m1=cards("192.168.5.3/24", others=[other]), m2=cards("192.168.5.4/24"))
    assert keeps == [], "it gets none"


def test_an_own_address_outside_of_the_subnet_names_both_networks_and_the_way_out() -> None:
    lines = said(rack("m1", "m2", switch=""), m1=cards("192.168.5.3/24"), m2=cards())
    assert lines == [
        "host m1: link cluster: it has 192.168.5.3/24, and m2 would get 10.77.0.2 of 10.77.0.0/24, so they do not "
        'reach each other; say subnet = "192.168.5.0/24", or give m2 an address of its own there'
    ]


def test_no_guest_is_on_an_ipoib_interface() -> None:
    lines = said(rack("g1", "m1"), m1=cards(type="32"))
    assert len(lines) == 1 and "eth1 is IPoIB, which no bridge takes; name an Ethernet interface" in lines[0]
    assert said(rack("m1", "m2", switch=""), m1=cards(type="32"), m2=cards(type="32")) == []


def test_a_rack_is_refused_before_a_host_is_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Reserved:
        """A session whose check finds nothing."""

        def __init__(self, ground: object, host: Host, console: object) -> None:
            self.name, self.spec, self.before = host.name, SPEC, cards("10.77.0.1/24")

        def reserve(self) -> None:
            pass

        def check(self) -> list[str]:
            return []

    monkeypatch.setattr(provider, "Session", Reserved)
    nothing: Any = None
    topology = rack("g1", "m1")
    only_owned = Topology(name="x", hosts=topology.hosts[1:], links=topology.links)
    with ExitStack() as stack, pytest.raises(UsageError, match=r"its eth1 has 10\.77\.0\.1, which g1 would get"):
        provider.Rack(only_owned, nothing, nothing).open(lambda name: tmp_path / name, stack)
