"""What libvirt says of a guest, and what is made of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import libvirt
import pytest
from fakes import guest_spec

from harness.drivers.libvirt.guest import LibvirtGuest
from harness.drivers.protocols import DomainState

STATS = {"vcpu.current": 2, "vcpu.0.time": 30, "vcpu.0.delay": 4, "vcpu.1.time": 20, "vcpu.1.delay": 1}


def _guest(info: Any, stats: list[tuple[object, dict[str, int]]]) -> LibvirtGuest:
    domain = SimpleNamespace(info=info)
    connection = SimpleNamespace(
        createXML=lambda xml, flags: domain, domainListGetStats=lambda domains, what, flags: stats
    )
    return LibvirtGuest(connection, guest_spec(), lambda data: None)


def _reported(state: int) -> list[int]:
    return [state, 1024, 1024, 1, 77]


def _gone() -> list[int]:
    raise libvirt.libvirtError("Domain not found")


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (libvirt.VIR_DOMAIN_RUNNING, "running"),
        (libvirt.VIR_DOMAIN_BLOCKED, "running"),
        (libvirt.VIR_DOMAIN_PAUSED, "paused"),
        (libvirt.VIR_DOMAIN_CRASHED, "crashed"),
        (libvirt.VIR_DOMAIN_SHUTOFF, "shutoff"),
    ],
)
def test_a_guest_that_is_there(code: int, name: str) -> None:
    guest = _guest(lambda: _reported(code), [(object(), STATS)])
    assert guest.state() == DomainState(state=name, cpu_ns=77, processors=((30, 4), (20, 1)))


def test_a_guest_that_is_gone() -> None:
    assert _guest(_gone, []).state() == DomainState(state="gone")


def test_a_guest_that_goes_between_two_questions() -> None:
    guest = _guest(lambda: _reported(libvirt.VIR_DOMAIN_RUNNING), [])
    assert guest.state() == DomainState(state="gone")
