"""The way home of a host: which means is tried when, and what counts as home."""

from __future__ import annotations

import pytest
from fakes import FakeClock
from machines import OTHER, OWN, Machine, MachinePower, MachineShell

from harness.physical.home import NotHome, WayHome


@pytest.fixture
def machine() -> Machine:
    """It runs a kernel of a run."""
    return Machine(clock=FakeClock(), run="a1")


def way(machine: Machine, *, power: bool = True, kernel: str = OWN) -> WayHome:
    return WayHome(
        host="m1",
        shell=MachineShell(machine),
        power=MachinePower(machine) if power else None,
        kernel=kernel,
        boot_s=300.0,
        note=lambda _: None,
        clock=machine.clock,
    )


def test_a_host_that_is_well_is_asked_to_reboot(machine: Machine) -> None:
    way(machine).boot(hung=False)
    assert machine.acts == ["reboot"] and machine.kernel == OWN


def test_one_that_hangs_is_power_cycled(machine: Machine) -> None:
    way(machine).boot(hung=True)
    assert machine.acts == ["cycle"]


def test_one_that_does_not_answer_is_power_cycled(machine: Machine) -> None:
    machine.is_up = False
    way(machine).boot(hung=False)
    assert machine.acts == ["cycle"]


def test_a_shutdown_that_hangs_ends_in_a_power_cycle(machine: Machine) -> None:
    machine.obeys = False
    began = machine.clock.monotonic()
    way(machine).boot(hung=False)
    assert machine.acts == ["reboot", "cycle"]
    assert machine.clock.monotonic() - began < 200, "it answers in the old boot, so nobody waits for a boot"


def test_a_boot_that_hangs_in_the_firmware_is_tried_once_more(machine: Machine) -> None:
    machine.boots = [None, (OWN, "")]
    way(machine).boot(hung=True)
    assert machine.acts == ["cycle", "cycle"]


def test_a_reboot_that_comes_back_in_the_kernel_of_the_run_is_not_home(machine: Machine) -> None:
    machine.boots = [(OTHER, "a1"), (OWN, "")]
    way(machine).boot(hung=False)
    assert machine.acts == ["reboot", "cycle"]


def test_without_a_power_source_its_own_kernel_resets_it(machine: Machine) -> None:
    way(machine, power=False).boot(hung=True)
    assert machine.acts == ["sysrq"]


def test_any_kernel_but_a_runs_is_home_where_the_owners_is_unknown(machine: Machine) -> None:
    machine.boots = [(OTHER, "")]
    way(machine, kernel="").boot(hung=False)
    assert machine.acts == ["reboot"]


def test_a_host_that_stays_away_is_named_with_all_that_was_tried(machine: Machine) -> None:
    machine.boots, machine.refusals = [None], 1
    with pytest.raises(NotHome) as caught:
        way(machine).boot(hung=False)
    reason = caught.value.reason
    assert machine.acts == ["reboot", "cycle", "cycle"] and "\n" not in str(caught.value)
    assert reason.startswith("reboot: SSH does not answer after ")
    assert "; power cycle: the BMC is unreachable; power cycle: SSH does not answer after " in reason


def test_a_host_in_another_kernel_than_its_owners_is_not_home(machine: Machine) -> None:
    machine.boots = [(OTHER, "")]
    with pytest.raises(NotHome, match=f"it runs {OTHER}, not its owner's {OWN}"):
        way(machine).boot(hung=True)


def test_a_dead_host_without_a_power_source_cannot_be_brought_home(machine: Machine) -> None:
    machine.is_up = False
    with pytest.raises(NotHome, match="names no power source"):
        way(machine, power=False).boot(hung=False)
    assert machine.acts == []
