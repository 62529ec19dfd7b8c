"""Who a guest is: what its agent is told, and that no two guests are told the same."""

from __future__ import annotations

import json
import time

from fakes import FakeAgent

from harness.guests.identity import identity_of, nobody, template_of
from harness.model.clock import Deadline
from harness.model.topology import MIB, Host, Link, Topology

TOPOLOGY = Topology(
    name="three",
    hosts=tuple(Host(name=name, memory=256 * MIB) for name in ("a", "b", "c")),
    links=(
        Link(name="lan", hosts=("a", "b"), subnet="10.77.0.0/24"),
        Link(name="san", hosts=("b", "c", "a"), subnet="10.78.4.0/22"),
    ),
)


def order(name: str) -> dict[str, object]:
    return identity_of(TOPOLOGY, TOPOLOGY.host(name), "ssh-ed25519 AAAA client").order()


def test_what_a_guest_is_told() -> None:
    reported = order("a")
    assert reported["hostname"] == "a" and reported["peers"] == ["10.77.0.2", "10.78.4.1", "10.78.4.2"]
    assert reported["cards"] == [
        ("eth0", "52:54:00:68:00:00", "10.0.2.15/24"),
        ("eth1", "52:54:00:68:01:00", "10.77.0.1/24"),
        ("eth2", "52:54:00:68:02:00", "10.78.4.3/22"),
    ]
    files = reported["files"]
    assert isinstance(files, dict)
    assert (
        files["/etc/hosts"][0].startswith("127.0.0.1 localhost\n") and "10.78.4.2 c c.san\n" in files["/etc/hosts"][0]
    )
    assert files["/run/harness/authorized_keys"] == ("ssh-ed25519 AAAA client\n", 0o600)
    assert files["/run/harness/ssh_host_ed25519_key"][1] == 0o600
    assert abs(float(str(reported["time"])) - time.time()) < 60


def test_no_two_guests_have_anything_in_common() -> None:
    identities = [identity_of(TOPOLOGY, host, "key") for host in TOPOLOGY.hosts]
    orders = [identity.order() for identity in identities]
    macs = [mac for reported in orders for _, mac, _ in reported["cards"]]
    assert len(set(macs)) == len(macs) == 8
    assert len({identity.host_key[1] for identity in identities}) == 3
    for one in ("/etc/machine-id", "/run/harness/ssh_host_ed25519_key"):
        assert len({reported["files"][one][0] for reported in orders}) == 3
    assert len({reported["entropy"] for reported in orders}) == 3


def test_the_same_guest_twice_has_other_secrets() -> None:
    first, second = order("a"), order("a")
    assert first["entropy"] != second["entropy"] and first["files"] != second["files"]


def test_a_template_is_nobody_of_its_topology() -> None:
    template = template_of(identity_of(TOPOLOGY, TOPOLOGY.host("b"), "key"))
    reported = template.order()
    assert reported["hostname"] == "template" and reported["peers"] == []
    assert [card for card, _, _ in reported["cards"]] == ["eth0"], "no segment hears of it"
    others = {mac for host in TOPOLOGY.hosts for _, mac, _ in identity_of(TOPOLOGY, host, "key").order()["cards"]}
    assert not others & set(template.all_macs(3))
    assert [address for _, _, address in nobody(template).order()["cards"]] == [""]


def test_an_agent_says_what_its_host_is() -> None:
    agent = FakeAgent(replies={"become": json.dumps({"cpus": 2})})
    assert identity_of(TOPOLOGY, TOPOLOGY.host("c"), "key").give(agent, Deadline.after(5)) == {"cpus": 2}
    assert agent.asked[0][1]["hostname"] == "c"
