"""What the provider of owned hosts refuses before a host is asked, and what a debt of a dead run carries."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness.drivers.protocols import Console, NmiInjector, Pausable, Power
from harness.model.clock import Deadline
from harness.model.errors import InfraError, UsageError
from harness.model.obligation import Obligation
from harness.model.observe import Silent
from harness.model.owned_host import OWN_KERNEL, ConsoleSpec, OwnedHost, PowerSpec, Secret
from harness.model.power import PowerState
from harness.model.settings import Settings
from harness.model.topology import Host, Topology
from harness.physical.offers import NoPower, offers
from harness.physical.owed import CHANGES, Debt
from harness.physical.provider import PhysicalProvider
from harness.site.capabilities import Requirement
from harness.site.provider import HostNeeds

POWER = PowerSpec(driver="ipmi", address="192.0.2.111", user="admin", password=Secret(kind="env", name="BMC"))
OWNED = OwnedHost(
    address="192.0.2.11",
    host_key="ssh-ed25519 AAAA",
    disposable=True,
    power=POWER,
    console=ConsoleSpec(driver="ipmi-sol"),
)


def rack(**changes: object) -> Topology:
    owned = replace(OWNED, **{key: value for key, value in changes.items() if key in OwnedHost.__slots__})  # type: ignore[arg-type]
    host = Host(name="ib1", memory=0, kernel=str(changes.get("kernel", OWN_KERNEL)), owned=owned)
    return Topology(name="x", hosts=(replace(host, modules=tuple(changes.get("modules", ()))),))  # type: ignore[arg-type]


@pytest.fixture
def provider(tmp_path: Path) -> PhysicalProvider:
    """A provider with folders of its own."""
    return PhysicalProvider(Settings(state=tmp_path, cache=tmp_path, results=tmp_path))


def test_a_disposable_host_on_its_owners_kernel_is_prepared_without_asking_it(provider: PhysicalProvider) -> None:
    prepared = provider.prepare(rack(), HostNeeds(), Silent())
    facts = prepared.hosts["ib1"].facts
    assert facts == {"kind": "physical", "address": "192.0.2.11", "kernel_from": OWN_KERNEL}
    assert "BMC" not in json.dumps(facts)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"disposable": False}, "host ib1 is not disposable, so no load, fault or kernel is put on it; if it may be"),
        (
            {"modules": ("nbd-no-memalloc",)},
            "stays on a kernel of its owner's, whose modules are not replaced; give it",
        ),
        ({"kernel": "installed:6.1", "modules": ("x.ko",)}, "whose modules are not replaced"),
    ],
)
def test_what_the_inventory_alone_rules_out_is_one_line(
    provider: PhysicalProvider, changes: dict[str, object], words: str
) -> None:
    with pytest.raises(UsageError) as caught:
        provider.check(rack(**changes), HostNeeds(), Silent())
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_case_that_needs_a_guest_is_refused(provider: PhysicalProvider) -> None:
    needs = HostNeeds(capabilities=(Requirement(part="Pause", host="ib1", capability=Pausable),))
    with pytest.raises(UsageError, match="Pause needs Pausable, which host 'ib1' does not offer"):
        provider.check(rack(), needs, Silent())


@pytest.mark.parametrize(
    ("changes", "offered"),
    [
        ({}, {Power, Console, NmiInjector}),
        ({"power": None, "console": ConsoleSpec(driver="none")}, set()),
        ({"console": ConsoleSpec(driver="netconsole")}, {Power, NmiInjector}),
        ({"power": PowerSpec(driver="command", on="a", off="b", status="c")}, {Power, Console}),
    ],
)
def test_what_a_host_offers_follows_from_its_drivers(changes: dict[str, object], offered: set[type]) -> None:
    assert offers(rack(**changes).hosts[0]) == offered


def test_a_host_without_a_power_source_says_so() -> None:
    power = NoPower("ib1")
    assert power.state(deadline=Deadline.after(0.0)) is PowerState.UNKNOWN
    with pytest.raises(InfraError, match="host ib1 has no power source"):
        power.cycle(deadline=Deadline.after(0.0))


def test_a_debt_carries_all_that_another_process_needs_and_no_secret(tmp_path: Path) -> None:
    debt = Debt(host="ib1", token="a1", owned=OWNED, kernel="6.1", before="ib1.before.json")
    obligation = debt.as_obligation(tmp_path, CHANGES)
    again = Obligation(run=tmp_path, provider=obligation.provider, kind=CHANGES, fields=dict(obligation.fields))
    assert Debt.of(again) == debt
    assert '"env"' in again.fields["owned"], "where the password is, never what it is"


def test_an_unknown_debt_is_refused(provider: PhysicalProvider, tmp_path: Path) -> None:
    with pytest.raises(InfraError, match="nobody here knows how to end a thing"):
        provider.reap(Obligation(run=tmp_path, provider="physical", kind="thing", fields={}))
