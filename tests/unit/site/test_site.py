"""A site: roles, addresses between hosts, and deadlines that suit the slowest of them."""

from __future__ import annotations

import pytest
from fakes import make_site, make_topology

from harness.model.errors import UsageError
from harness.model.topology import MIB, Host, Topology


def test_roles() -> None:
    site = make_site()
    assert site.role("client").name == "c1"
    with pytest.raises(UsageError, match="no role 'initiator' in topology 'pair'; its roles are: client, server"):
        site.role("initiator")


def test_addresses() -> None:
    site = make_site()
    client, server = site.role("client"), site.role("server")
    assert site.address(server, seen_from=client) == "10.77.0.2"
    assert site.address(client, seen_from=server) == "10.77.0.1"
    assert site.address(client, seen_from=client) == "127.0.0.1"


def test_no_link_between_two_hosts() -> None:
    topology = Topology(name="apart", hosts=(Host(name="a", memory=MIB), Host(name="b", memory=MIB)))
    site = make_site(topology)
    with pytest.raises(UsageError, match="no link between 'b' and 'a'; add one"):
        site.address(site.targets["a"], seen_from=site.targets["b"])


def test_deadlines_are_scaled_by_the_slowest_and_never_shortened() -> None:
    assert 95 < make_site(make_topology(), slowdown=10.0).deadline(10).remaining <= 100
    assert 9 < make_site(make_topology(), slowdown=0.2).deadline(10).remaining <= 10
