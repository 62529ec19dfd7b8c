"""Take-over and fencing: never before the other node is dead."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes import hypervisor_of, make_site, shell_of

from harness.faults.base import Expelling, Prepared
from harness.faults.failover import AnswerFencing, TakeOver
from harness.faults.later import Later
from harness.model.errors import InfraError
from harness.model.measure import Measure
from harness.model.power import PowerState
from harness.site.measuring import Measuring
from harness.site.target import Site

TAKE = TakeOver(command="/run/node take", role="client", fenced="server")
ANSWER = AnswerFencing(folder="/run/cluster", role="client", victim="server", wait_s=0.0)


def test_a_node_takes_over_from_one_that_is_gone() -> None:
    site = make_site()
    hypervisor_of(site.role("server")).power = PowerState.GONE
    TAKE.inject(site)
    assert shell_of(site.role("client")).commands == ["/run/node take"]
    assert "client takes over from server" in TAKE.describe()


@pytest.mark.parametrize("power", [PowerState.ON, PowerState.PAUSED, PowerState.UNKNOWN])
def test_a_node_never_takes_over_from_one_that_may_still_write(power: PowerState) -> None:
    site = make_site()
    hypervisor_of(site.role("server")).power = power
    with pytest.raises(InfraError, match=f"client must not take over: server is {power}; fence it before"):
        TAKE.inject(site)
    assert not shell_of(site.role("client")).commands


def test_who_is_asked_to_fence_powers_the_victim_off_and_only_then_says_so() -> None:
    site = make_site()
    shell = shell_of(site.role("client"))
    ANSWER.inject(site)
    assert hypervisor_of(site.role("server")).acts == ["off"]
    assert shell.commands == ["grep -qxF s1 /run/cluster/asked", "echo s1 >>/run/cluster/dead"]


def test_nobody_is_powered_off_unless_the_cluster_asks() -> None:
    site = make_site()
    shell_of(site.role("client")).answer("grep", exit_code=1)
    with pytest.raises(InfraError, match="client did not ask to fence server within 0 s"):
        ANSWER.inject(site)
    assert not hypervisor_of(site.role("server")).acts


def test_a_victim_that_does_not_go_is_not_called_dead() -> None:
    site = make_site()
    victim = hypervisor_of(site.role("server"))
    victim.off = lambda *, deadline: None  # type: ignore[method-assign]
    with pytest.raises(InfraError, match="server is on though it was fenced"):
        ANSWER.inject(site)
    assert not [command for command in shell_of(site.role("client")).commands if "dead" in command]


def test_the_victim_is_out_of_the_experiment() -> None:
    assert isinstance(ANSWER, Expelling) and ANSWER.expels(make_site()) == "s1"


class Part:
    """Notes what it is asked for."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def describe(self) -> str:
        return "a part"

    def prepare(self, site: Site) -> None:
        self.done.append("prepare")

    def launch(self, site: Site) -> None:
        self.done.append("launch")

    def measures(self, site: Site, evidence: Path) -> list[Measure]:
        self.done.append("measures")
        return [Measure(name="held", value=3)]


def test_a_part_that_comes_later_is_prepared_early_and_launched_at_its_time(tmp_path: Path) -> None:
    part, site = Part(), make_site()
    later = Later(part=part, at_s=30.0)
    assert isinstance(later, Prepared) and isinstance(later, Measuring) and later.describe() == "a part"
    later.prepare(site)
    assert part.done == ["prepare"]
    later.inject(site)
    later.heal(site)
    assert later.measures(site, tmp_path) == [Measure(name="held", value=3)]
    assert part.done == ["prepare", "launch", "measures"]
