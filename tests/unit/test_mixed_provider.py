"""A topology with guests and physical hosts: each kind has its own provider, and both make one site."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from fakes import make_target

from harness.drivers.protocols import LinkControl, Pausable, Power
from harness.model.errors import UsageError
from harness.model.obligation import Obligation
from harness.model.observe import Progress, Silent
from harness.model.overrides import MachineOverrides
from harness.model.owned_host import OwnedHost
from harness.model.topology import MIB, Host, Link, SharedDisk, Topology
from harness.providers import kind_of, offers_of
from harness.providers.mixed import MixedProvider
from harness.site.capabilities import Requirement
from harness.site.provider import Deaf, HostNeeds, Listener, Prepared, PreparedHost
from harness.site.target import Site

OWNED = OwnedHost(address="192.0.2.11", host_key="ssh-ed25519 AAAA", disposable=True)
GUEST, MACHINE = Host(name="g1", memory=256 * MIB), Host(name="m1", memory=0, owned=OWNED)
BOTH = Topology(name="both", hosts=(GUEST, MACHINE), roles={"client": "g1", "server": "m1"})


@dataclass
class PreparedFakes:
    hosts: Mapping[str, PreparedHost]


@dataclass
class FakeProvider:
    """Notes what it is asked, and gives fakes."""

    name: str
    offers: frozenset[type]
    log: list[str] = field(default_factory=list)
    asked: list[tuple[Topology, HostNeeds]] = field(default_factory=list)

    def check(self, topology: Topology, needs: HostNeeds, progress: Progress) -> None:
        self.asked.append((topology, needs))

    def prepare(self, topology: Topology, needs: HostNeeds, progress: Progress) -> Prepared:
        self.asked.append((topology, needs))
        return PreparedFakes({one.name: PreparedHost(kernel="k", modules={}, facts={}) for one in topology.hosts})

    @contextmanager
    def provide(
        self,
        topology: Topology,
        prepared: Prepared,
        *,
        purpose: str,
        listener: Listener,
        console_path: Callable[[str], Path],
        notes: Progress,
        on_wait: Callable[[str], None],
        on_begin: Callable[[], None],
    ) -> Iterator[Site]:
        self.log.append(f"up {self.name}")
        on_begin()
        targets = {one.name: make_target(topology, one.name, offers=self.offers) for one in topology.hosts}
        try:
            yield Site(topology=topology, targets=targets)
        finally:
            self.log.append(f"down {self.name}")

    def reap(self, obligation: Obligation) -> list[str]:
        raise NotImplementedError

    def tidy(self) -> list[str]:
        return []

    def fit(self, topologies: Collection[Topology]) -> int:
        return {"guests": 3, "physical": 9}[self.name]


@pytest.fixture
def log() -> list[str]:
    """What the providers do, in order."""
    return []


@pytest.fixture
def mixed(log: list[str]) -> MixedProvider:
    """Both kinds, physical hosts first."""
    physical = FakeProvider("physical", frozenset({Power}), log)
    guests = FakeProvider("guests", frozenset({Power, Pausable}), log)
    return MixedProvider({"physical": physical, "guests": guests}, kind_of, offers_of)


def test_physical_hosts_come_first_and_go_last_and_make_one_site(mixed: MixedProvider, log: list[str]) -> None:
    prepared = mixed.prepare(BOTH, HostNeeds(), Silent())
    assert set(prepared.hosts) == {"g1", "m1"}
    provided = mixed.provide(
        BOTH,
        prepared,
        purpose="x",
        listener=Deaf(),
        console_path=Path,
        notes=Silent(),
        on_wait=log.append,
        on_begin=lambda: log.append("begin"),
    )
    with provided as site:
        assert set(site.targets) == {"g1", "m1"} and site.role("server").name == "m1"
        assert site.topology is BOTH and site.failure() is None
        lacks = site.role("server")
        with pytest.raises(UsageError, match="Pausable, which host 'm1' does not offer; of its topology, these do: g1"):
            lacks.need(Pausable)
    assert log == ["up physical", "up guests", "begin", "down guests", "down physical"]


def test_each_is_asked_for_its_own_hosts_only(mixed: MixedProvider) -> None:
    needs = HostNeeds(
        kernel={"g1": ("nbd",), "m1": ("nfsd",)},
        programs={"m1": ("exportfs",)},
        capabilities=(Requirement(part="Pause", host="g1", capability=Pausable),),
    )
    mixed.check(BOTH, needs, Silent())
    asked = {}
    for provider in mixed._providers.values():
        assert isinstance(provider, FakeProvider)
        asked[provider.name] = provider.asked[0]
    topology, own = asked["physical"]
    assert [host.name for host in topology.hosts] == ["m1"] and topology.roles == {"server": "m1"}
    assert own.kernel == {"m1": ("nfsd",)} and own.programs == {"m1": ("exportfs",)} and own.capabilities == ()
    topology, own = asked["guests"]
    assert topology.roles == {"client": "g1"} and own.kernel == {"g1": ("nbd",)} and len(own.capabilities) == 1


@pytest.mark.parametrize(
    ("topology", "what"),
    [
        (replace(BOTH, links=(Link(name="cluster", hosts=("g1", "m1")),)), "the link 'cluster'"),
        (replace(BOTH, shared_disk=SharedDisk(hosts=("g1", "m1"), size=MIB)), "shared_disk"),
    ],
)
def test_what_both_kinds_cannot_share_is_refused(mixed: MixedProvider, topology: Topology, what: str) -> None:
    with pytest.raises(UsageError, match=f"{what} has guests and physical hosts"):
        mixed.check(topology, HostNeeds(), Silent())


def test_a_link_over_a_switch_is_in_the_part_of_each_kind_with_all_of_its_hosts(mixed: MixedProvider) -> None:
    shared = Link(name="cluster", hosts=("g1", "m1"), switch="/run/vde/rack.ctl")
    mixed.check(replace(BOTH, links=(shared,)), HostNeeds(), Silent())
    for provider in mixed._providers.values():
        assert isinstance(provider, FakeProvider)
        topology, _ = provider.asked[0]
        assert topology.links == (shared,), "so both count the same addresses"
        assert len(topology.hosts) == 1


def test_a_fault_that_acts_on_a_guests_card_is_refused_for_a_machine_and_says_where_it_works(
    mixed: MixedProvider,
) -> None:
    for host in ("g1", "m1"):
        needs = HostNeeds(capabilities=(Requirement(part="LinkDown", host=host, capability=LinkControl),))
        refused = pytest.raises(
            UsageError,
            match="LinkDown needs LinkControl, which host 'm1' does not offer; of its topology, these do: g1",
        )
        for ask in (mixed.check, mixed.prepare):
            with refused if host == "m1" else nullcontext():
                ask(BOTH, needs, Silent())


def test_as_many_trials_as_the_narrower_kind_allows(mixed: MixedProvider) -> None:
    assert mixed.fit([BOTH]) == 3


def test_a_kernel_for_the_run_is_for_both_kinds() -> None:
    changed = MachineOverrides(kernel="debian:13").apply(BOTH)
    assert {host.kernel for host in changed.hosts} == {"debian:13"} and changed.host("m1").owned == OWNED
