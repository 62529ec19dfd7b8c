"""Addresses of owned hosts on links: their own where they have one, and another one where guests are on the link."""

from __future__ import annotations

import pytest
from fakes import FakeShell
from surveys import interface, survey

from harness.model.clock import Deadline
from harness.model.owned_host import OwnedHost
from harness.physical.links import give_addresses

SPEC = OwnedHost(address="192.0.2.11", host_key="ssh-ed25519 AAAA", links={"cluster": "eth1"})
WANTED = {"cluster": "10.77.0.2/24"}


@pytest.mark.parametrize(
    ("own", "beside", "found", "ordered"),
    [
        ((), (), "10.77.0.2/24", True),
        (("192.168.5.3/24",), (), "192.168.5.3/24", False),
        (("192.168.5.3/24",), ("cluster",), "10.77.0.2/24", True),
        (("192.168.5.3/24", "10.77.0.2/24"), ("cluster",), "10.77.0.2/24", False),
        (("fe80::1/64", "169.254.1.1/16"), (), "10.77.0.2/24", True),
    ],
)
def test_an_address_is_added_only_where_one_is_missing(
    own: tuple[str, ...], beside: tuple[str, ...], found: str, ordered: bool
) -> None:
    shell = FakeShell()
    seen = survey(interfaces=(interface("eth1", addresses=own, up=False),))
    addresses, given = give_addresses(shell, SPEC, seen, WANTED, Deadline.after(1.0), beside)
    assert addresses == {"cluster": found}
    assert bool(given) is ordered is bool(shell.commands)
    for address in given:
        address.take_away(shell, Deadline.after(1.0))
        assert shell.commands[-2:] == ["ip address del 10.77.0.2/24 dev eth1", "ip link set dev eth1 down"]
