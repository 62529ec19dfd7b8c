"""What libvirt says of a guest, and what is made of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import libvirt
import pytest
from fakes import guest_spec

from harness.drivers import protocols
from harness.drivers.libvirt.guest import OFFERS, LibvirtGuest
from harness.drivers.protocols import VcpuTimes
from harness.model.clock import Deadline
from harness.model.errors import InfraError
from harness.model.power import PowerState

STATS = {"vcpu.current": 2, "vcpu.0.time": 30, "vcpu.0.delay": 4, "vcpu.1.time": 20, "vcpu.1.delay": 1}


def _guest(info: Any, stats: list[tuple[object, dict[str, int]]] | None = None, **domain: Any) -> LibvirtGuest:
    made = SimpleNamespace(info=info, **domain)
    connection = SimpleNamespace(
        createXML=lambda xml, flags: made, domainListGetStats=lambda domains, what, flags: stats or []
    )
    return LibvirtGuest(connection, guest_spec(), lambda data: None)


def _reported(state: int) -> list[int]:
    return [state, 1024, 1024, 1, 77]


def _failing(code: int) -> Callable[[], list[int]]:
    def info() -> list[int]:
        error = libvirt.libvirtError("failed")
        error.err = (code, 0, "failed", 0, "", "", "", 0, 0)
        raise error

    return info


def state_of(guest: LibvirtGuest) -> PowerState:
    return guest.state(deadline=Deadline.after(10.0))


@pytest.mark.parametrize(
    ("code", "state"),
    [
        (libvirt.VIR_DOMAIN_RUNNING, PowerState.ON),
        (libvirt.VIR_DOMAIN_BLOCKED, PowerState.ON),
        (libvirt.VIR_DOMAIN_PAUSED, PowerState.PAUSED),
        (libvirt.VIR_DOMAIN_CRASHED, PowerState.CRASHED),
        (libvirt.VIR_DOMAIN_SHUTDOWN, PowerState.OFF),
        (libvirt.VIR_DOMAIN_SHUTOFF, PowerState.OFF),
        (libvirt.VIR_DOMAIN_NOSTATE, PowerState.UNKNOWN),
    ],
)
def test_a_guest_that_is_there(code: int, state: PowerState) -> None:
    assert state_of(_guest(lambda: _reported(code))) is state


def test_what_its_processors_got() -> None:
    guest = _guest(lambda: _reported(libvirt.VIR_DOMAIN_RUNNING), [(object(), STATS)])
    assert guest.vcpu_times() == VcpuTimes(cpu_ns=77, processors=((30, 4), (20, 1)))


def test_a_guest_that_is_gone_is_not_one_of_which_libvirt_cannot_say_anything() -> None:
    assert state_of(_guest(_failing(libvirt.VIR_ERR_NO_DOMAIN))) is PowerState.GONE
    assert state_of(_guest(_failing(libvirt.VIR_ERR_OPERATION_FAILED))) is PowerState.UNKNOWN


def test_a_guest_that_goes_between_two_questions() -> None:
    guest = _guest(lambda: _reported(libvirt.VIR_DOMAIN_RUNNING))
    with pytest.raises(InfraError, match="it is gone"):
        guest.vcpu_times()


def test_a_libvirt_that_owes_an_answer_is_not_asked_again_and_waited_for_until_the_deadline() -> None:
    asked, go = list[int](), threading.Event()

    def info() -> list[int]:
        asked.append(1)
        assert go.wait(10.0)
        return _reported(libvirt.VIR_DOMAIN_PAUSED)

    guest = _guest(info)
    assert guest.state(deadline=Deadline.after(0.01)) is PowerState.UNKNOWN
    assert guest.state(deadline=Deadline.after(0.01)) is PowerState.UNKNOWN
    assert len(asked) == 1
    go.set()
    assert state_of(guest) is PowerState.PAUSED and len(asked) == 2


def test_a_guest_does_all_that_it_offers() -> None:
    guest = _guest(lambda: _reported(libvirt.VIR_DOMAIN_RUNNING))
    assert isinstance(guest.console, protocols.Console)
    assert all(isinstance(guest, kind) for kind in OFFERS - {protocols.Console})


def test_power_is_taken_away_and_not_given_back() -> None:
    done: list[str] = []
    guest = _guest(_failing(libvirt.VIR_ERR_NO_DOMAIN), destroy=lambda: done.append("destroy"))
    guest.off(deadline=Deadline.after(10.0))
    assert done == ["destroy"]
    with pytest.raises(InfraError, match="not started a second time; take it down and bring up another"):
        guest.cycle(deadline=Deadline.after(10.0))
