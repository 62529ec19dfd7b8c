"""What every target keeps, whatever stands behind it: a fake, a guest, and whatever else a backend brings up.

A backend makes a class of its own from `TargetContract`, with a fixture `bring_up` that gives a site of one or more
hosts for the body of a `with`. A promise about a capability that its hosts do not offer is skipped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TypeVar

import pytest

from harness.drivers.protocols import (
    Console,
    DiskThrottle,
    Keyboard,
    LinkControl,
    NmiInjector,
    Pausable,
    Power,
    Registers,
    VcpuAccounting,
    VmmProcess,
)
from harness.model.clock import SYSTEM_CLOCK, Deadline
from harness.model.errors import HarnessError, InfraError, ShellError, UsageError
from harness.model.power import DEAD, PowerState
from harness.site.facts import MANAGEMENT, ROOT
from harness.site.target import Site, Target

BringUp = Callable[[], AbstractContextManager[Site]]
C = TypeVar("C")
EVERY: tuple[type, ...] = (
    *(Power, Console, Pausable, LinkControl, DiskThrottle),
    *(NmiInjector, Registers, Keyboard, VcpuAccounting, VmmProcess),
)
POWER_S = 30.0


def soon() -> Deadline:
    return Deadline.after(POWER_S)


def offered(target: Target, kind: type[C]) -> C:
    """Who does what `kind` promises; skips the test where the host does not offer it."""
    found = target.find(kind)
    if found is None:
        pytest.skip(f"{target.name} does not offer {kind.__name__}")
    return found


def until_dead(power: Power) -> PowerState:
    deadline = soon()
    while (state := power.state(deadline=deadline)) not in DEAD and not deadline.passed:
        SYSTEM_CLOCK.sleep(0.1)
    return state


class TargetContract:
    """The promises, from those that leave a host as it was to those that it does not survive."""

    @pytest.fixture(scope="class")
    @classmethod
    def site(cls, bring_up: BringUp) -> Iterator[Site]:
        """One site for all tests of the class but those that say otherwise."""
        with bring_up() as site:
            yield site

    @pytest.fixture
    def target(self, site: Site) -> Target:
        """Its first host."""
        return site.targets[site.topology.hosts[0].name]

    def test_its_shell_quotes_and_tells_a_failure(self, target: Target) -> None:
        assert target.shell.run("echo %s", "a  b", deadline=soon()).stdout == "a  b\n"
        assert target.probe_shell.run("exit 3", deadline=soon(), check=False).exit_code == 3
        with pytest.raises(ShellError):
            target.shell.run("exit 3", deadline=soon())

    def test_its_agent_answers_and_says_what_carries_it(self, target: Target) -> None:
        assert target.agent.ask("ping", deadline=soon()) == ""
        with pytest.raises(ShellError):
            target.agent.ask("no such verb", deadline=soon())
        assert target.agent.transport.name and target.agent.transport.silence_is_proof in (True, False)

    def test_its_facts_are_of_that_host(self, site: Site, target: Target) -> None:
        facts = target.facts
        assert facts.memory > 0 and facts.cpus > 0 and facts.slowdown > 0 and facts.kernel
        assert facts.disks[ROOT].size > 0
        links = {link.name for link in site.topology.links if target.name in link.hosts}
        assert set(facts.interfaces) - {MANAGEMENT} == links
        assert json.loads(json.dumps(facts.to_dict())) == facts.to_dict()

    def test_its_disks_and_interfaces_are_where_the_facts_say(self, target: Target) -> None:
        for disk in target.facts.disks.values():
            target.shell.run("test -b %s", disk.path, deadline=soon())
        for interface in target.facts.interfaces.values():
            look = "ip -o -4 address show dev %s | grep -qF %s"
            target.shell.run(look, interface.name, interface.address, deadline=soon())

    def test_it_does_what_it_offers_and_says_what_it_does_not(self, site: Site, target: Target) -> None:
        assert target.offers.keys() == {host.name for host in site.topology.hosts}
        assert target.offers[target.name] == set(target.drivers) <= set(EVERY)
        for kind in EVERY:
            if kind in target.drivers:
                assert isinstance(target.need(kind), kind)
                continue
            assert target.find(kind) is None
            with pytest.raises(UsageError, match=f"{kind.__name__}, which host '{target.name}' does not offer"):
                target.need(kind)

    def test_its_power_is_on_and_its_source_has_a_name(self, target: Target) -> None:
        assert target.power.source
        assert target.power.state(deadline=soon()) is PowerState.ON

    def test_its_power_is_asked_without_an_error_however_late_it_is(self, target: Target) -> None:
        assert target.power.state(deadline=Deadline.after(-1.0)) in PowerState

    def test_it_can_be_paused_and_goes_on(self, target: Target) -> None:
        driver = offered(target, Pausable)
        driver.pause()
        try:
            assert target.power.state(deadline=soon()) is PowerState.PAUSED
        finally:
            driver.resume()
        assert target.power.state(deadline=soon()) is PowerState.ON
        assert target.shell.run("true", deadline=soon()).exit_code == 0

    def test_each_of_its_cables_can_be_pulled(self, target: Target) -> None:
        driver = offered(target, LinkControl)
        for link in target.facts.interfaces:
            driver.set_link(link, up=False)
            driver.set_link(link, up=True)

    def test_each_of_its_disks_can_be_throttled(self, target: Target) -> None:
        driver = offered(target, DiskThrottle)
        for disk in target.facts.disks:
            driver.throttle(disk, 1_000_000)
            driver.throttle(disk, None)
        with pytest.raises(UsageError, match="no disk 'no such disk'"):
            driver.throttle("no such disk", None)

    def test_its_processors_are_accounted_for(self, target: Target) -> None:
        driver = offered(target, VcpuAccounting)
        before, after = driver.vcpu_times(), driver.vcpu_times()
        assert 0 < before.cpu_ns <= after.cpu_ns
        assert len(after.processors) in (0, target.facts.cpus)

    def test_its_registers_can_be_read(self, target: Target) -> None:
        assert "RIP=" in offered(target, Registers).registers()

    def test_a_console_takes_input_and_a_break(self, target: Target) -> None:
        console = offered(target, Console)
        console.send(b"\n")
        console.send_break("h")

    def test_a_keyboard_takes_sysrq(self, target: Target) -> None:
        offered(target, Keyboard).send_sysrq("h")

    def test_it_outlives_an_nmi(self, target: Target) -> None:
        offered(target, NmiInjector).inject_nmi()
        assert target.shell.run("true", deadline=soon()).exit_code == 0

    def test_a_cycle_gives_its_power_back_or_is_refused(self, target: Target) -> None:
        try:
            target.power.cycle(deadline=soon())
        except InfraError as error:
            assert "\n" not in str(error)
        assert target.power.state(deadline=soon()) is PowerState.ON

    def test_a_process_that_runs_it_can_be_killed(self, target: Target, bring_up: BringUp) -> None:
        offered(target, VmmProcess)
        with bring_up() as site:
            victim = site.targets[target.name]
            victim.need(VmmProcess).kill()
            assert until_dead(victim.power) in DEAD

    def test_without_power_it_does_nothing_more(self, target: Target) -> None:
        """The last one: nothing is left of the host."""
        for _ in range(2):
            target.power.off(deadline=soon())
            assert until_dead(target.power) in DEAD
        if (accounting := target.find(VcpuAccounting)) is not None:
            with pytest.raises(HarnessError):
                accounting.vcpu_times()
        if (pausable := target.find(Pausable)) is not None:
            with pytest.raises(HarnessError):
                pausable.pause()
