"""Power over IPMI and Redfish against real BMCs, which are dead, frozen, slow, and refuse the password.

The Redfish service may be in use by others: it is only asked, and through a door of the test's own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from harness.drivers.bmc import PowerDriver, power_of
from harness.drivers.bmc.base import same_machine
from harness.drivers.bmc.ipmi import IpmiPower
from harness.model.clock import Deadline
from harness.model.errors import HarnessError, InfraError
from harness.model.owned_host import PowerSpec, Secret
from harness.model.power import PowerState
from tests.testbed import faults
from tests.testbed.own_servers import Door
from tests.testbed.places import double
from tests.testbed.rack import ask, hosts

pytestmark = pytest.mark.physical
HOSTS = {} if "HARNESS_PHYSICAL" in os.environ else hosts()
WRONG = "not-the-password"
BY_IPMI, BY_REDFISH = "m3", "m2"


class Bmc:
    """A BMC of the test bed, and its faults."""

    def __init__(self, name: str, spec: PowerSpec) -> None:
        self.name, self.spec = name, spec

    @property
    def power(self) -> PowerDriver:
        return power_of(self.spec, self.name)

    def dead(self) -> AbstractContextManager[None]:
        return faults.bmc_dead(double(self.name))

    def frozen(self) -> AbstractContextManager[None]:
        return faults.bmc_frozen(double(self.name))

    def slow(self, pause_s: float) -> AbstractContextManager[None]:
        return faults.bmc_slow(double(self.name), pause_s)


class BehindADoor(Bmc):
    """A Redfish service behind a door: what happens there happens to this test only."""

    def __init__(self, name: str, spec: PowerSpec) -> None:
        parts = urlsplit(spec.address)
        self.door = Door(parts.hostname or "", parts.port or 443)
        super().__init__(name, replace(spec, address=f"https://{parts.hostname}:{self.door.port}"))

    @contextmanager
    def dead(self) -> Iterator[None]:
        before = self.spec
        gone = Door(self.door.address, 0)
        gone.close()
        self.spec = replace(before, address=f"https://{self.door.address}:{gone.port}")
        try:
            yield
        finally:
            self.spec = before

    @contextmanager
    def frozen(self) -> Iterator[None]:
        self.door.through.clear()
        try:
            yield
        finally:
            self.door.through.set()

    @contextmanager
    def slow(self, pause_s: float) -> Iterator[None]:
        self.door.pause_s = pause_s
        try:
            yield
        finally:
            self.door.pause_s = 0.0


@pytest.fixture(params=[name for name in (BY_IPMI, BY_REDFISH) if name in HOSTS])
def bmc(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bmc]:
    monkeypatch.setenv("NOT_OF_BMC", WRONG)
    spec = HOSTS[request.param].power
    assert spec is not None
    if spec.driver != "redfish":
        yield Bmc(request.param, spec)
        return
    behind = BehindADoor(request.param, spec)
    yield behind
    behind.door.close()


def refusal(bmc: Bmc, seconds: float = 8.0) -> str:
    """What an action says that cannot even ask for the state; it is within its deadline, in one line."""
    start = time.monotonic()
    with pytest.raises(HarnessError) as caught:
        bmc.power.ask(Deadline.after(seconds))
    assert time.monotonic() - start < seconds + 2
    text = str(caught.value)
    assert "\n" not in text and bmc.name in text and WRONG not in text
    return text


def test_its_state_and_its_machine(bmc: Bmc) -> None:
    assert bmc.power.state(deadline=Deadline.after(30)) is PowerState.ON
    assert same_machine(bmc.power.identity(deadline=Deadline.after(30)), double(bmc.name).uuid)


def test_switching_on_what_is_on_does_nothing(bmc: Bmc) -> None:
    bmc.power.on(deadline=Deadline.after(30))
    assert bmc.power.state(deadline=Deadline.after(30)) is PowerState.ON


def test_a_dead_bmc_is_unknown_and_says_so(bmc: Bmc) -> None:
    with bmc.dead():
        assert bmc.power.state(deadline=Deadline.after(5)) is PowerState.UNKNOWN
        assert "does not answer" in refusal(bmc)
        assert bmc.power.identity(deadline=Deadline.after(5)) == ""
    end = Deadline.after(30)
    while bmc.power.state(deadline=Deadline.after(8)) is not PowerState.ON:
        assert not end.passed


def test_a_frozen_bmc_keeps_the_deadline(bmc: Bmc) -> None:
    with bmc.frozen():
        assert "does not answer" in refusal(bmc, 3)
        start = time.monotonic()
        assert bmc.power.state(deadline=Deadline.after(3)) is PowerState.UNKNOWN
        assert time.monotonic() - start < 5
    assert bmc.power.state(deadline=Deadline.after(30)) is PowerState.ON


def test_a_slow_bmc_answers(bmc: Bmc) -> None:
    end = Deadline.after(60)
    with bmc.slow(0.3):
        # ipmi_sim answers "Unspecified error" if it is stopped while it runs its chassis script: that is unknown.
        while (state := bmc.power.state(deadline=end)) is PowerState.UNKNOWN:
            assert not end.passed
        assert state is PowerState.ON


@pytest.mark.parametrize("change", [{"password": Secret(kind="env", name="NOT_OF_BMC")}, {"user": "nobody"}])
def test_a_login_that_is_refused_says_so(bmc: Bmc, change: dict[str, object]) -> None:
    bmc.spec = replace(bmc.spec, **change)  # type: ignore[arg-type]
    assert refusal(bmc).endswith("refuses the user or password")


def test_a_password_that_is_missing_is_named(bmc: Bmc) -> None:
    bmc.spec = replace(bmc.spec, password=Secret(kind="env", name="NO_SUCH_PASSWORD"))
    with pytest.raises(HarnessError, match="environment variable NO_SUCH_PASSWORD, which is not set"):
        bmc.power.ask(Deadline.after(8))


@pytest.mark.parametrize("bmc", [name for name in [BY_REDFISH] if name in HOSTS], indirect=True)
class TestRedfish:
    """What only Redfish does; nothing here changes its host."""

    def test_a_service_that_drops_the_session_does_not_answer(self, bmc: Bmc) -> None:
        assert isinstance(bmc, BehindADoor)
        bmc.door.cut = True
        assert "does not answer" in refusal(bmc)
        bmc.door.cut = False
        assert bmc.power.ask(Deadline.after(30)) is PowerState.ON

    def test_another_authority_is_not_trusted(self, bmc: Bmc) -> None:
        bmc.spec = replace(bmc.spec, ca="/etc/ssl/certs/ca-certificates.crt")
        assert "shows a certificate that is not trusted" in refusal(bmc)

    def test_a_pinned_certificate(self, bmc: Bmc) -> None:
        bmc.spec = replace(bmc.spec, ca="", fingerprint="00" * 32)
        text = refusal(bmc)
        assert "shows another certificate than the pinned one" in text
        found = text.partition("its SHA-256 is ")[2][:64]
        for pin in (found, found.upper(), ":".join(found[at : at + 2] for at in range(0, 64, 2))):
            bmc.spec = replace(bmc.spec, fingerprint=pin)
            assert bmc.power.ask(Deadline.after(30)) is PowerState.ON

    def test_a_system_that_it_has_not(self, bmc: Bmc) -> None:
        bmc.spec = replace(bmc.spec, system="nowhere")
        assert "says: ResourceNotFoundError" in refusal(bmc)


@pytest.mark.parametrize("bmc", [name for name in [BY_IPMI] if name in HOSTS], indirect=True)
class TestIpmi:
    """What changes a host."""

    def test_an_nmi_that_is_refused_says_so(self, bmc: Bmc) -> None:
        assert isinstance(bmc.power, IpmiPower)
        with pytest.raises(InfraError, match=r"says: Set Chassis Power Control to Diag failed: Invalid data field"):
            bmc.power.inject_nmi()

    def test_off_is_off_twice_and_on_is_on(self, bmc: Bmc) -> None:
        try:
            for _ in range(2):
                bmc.power.off(deadline=Deadline.after(60))
                assert bmc.power.state(deadline=Deadline.after(30)) is PowerState.OFF
        finally:
            bmc.power.on(deadline=Deadline.after(60))
        assert bmc.power.state(deadline=Deadline.after(30)) is PowerState.ON
        host = HOSTS[bmc.name]
        assert ask(bmc.name, host, "echo in", within_s=host.boot_s) == "in"  # for whoever needs it next

    def test_a_bmc_that_dies_in_the_middle_is_an_error(self, bmc: Bmc) -> None:
        before = bmc.power.state(deadline=Deadline.after(30))
        with bmc.dead(), pytest.raises(InfraError, match="does not answer"):
            bmc.power.cycle(deadline=Deadline.after(5))
        end = Deadline.after(30)
        while bmc.power.state(deadline=Deadline.after(8)) is not before:
            assert not end.passed
