"""A site of fakes with two nodes that share a disk, and a client."""

from __future__ import annotations

from fakes import hypervisor_of, make_site

from harness.model.power import PowerState
from harness.model.topology import MIB, Host, Link, SharedDisk, Topology
from harness.site.target import Site

HOSTS = ("u", "n1", "n2")


def make_cluster(*, shared: bool = True, linked: bool = True) -> Site:
    """Client u, nodes n1 and n2."""
    topology = Topology(
        name="cluster",
        hosts=tuple(Host(name=name, memory=256 * MIB) for name in HOSTS),
        roles=dict(zip(("client", "first", "second"), HOSTS, strict=True)),
        links=(Link(name="lan", hosts=HOSTS if linked else HOSTS[:2], subnet="10.77.0.0/24"),),
        shared_disk=SharedDisk(hosts=("n1", "n2"), size=512 * MIB) if shared else None,
    )
    return make_site(topology)


def fence(site: Site) -> None:
    """The first node is gone."""
    hypervisor_of(site.role("first")).power = PowerState.GONE
