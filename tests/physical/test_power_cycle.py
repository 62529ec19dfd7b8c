"""A host is put off and on by its BMC, and comes back; its console shows what its kernel prints."""

from __future__ import annotations

import uuid

import pytest

from harness.drivers.bmc import power_of
from harness.drivers.consoles import open_console
from harness.model.clock import Deadline
from harness.model.owned_host import OwnedHost
from harness.model.power import PowerState
from tests.testbed.rack import ask, hosts

pytestmark = pytest.mark.physical
BOOT_ID = "cat /proc/sys/kernel/random/boot_id"


@pytest.mark.parametrize(("name", "host"), hosts().items(), ids=hosts())
def test_a_power_cycle_boots_a_host(name: str, host: OwnedHost) -> None:
    assert host.power is not None
    power = power_of(host.power, name)
    before = ask(name, host, BOOT_ID, within_s=host.boot_s)
    power.cycle(deadline=Deadline.after(120))
    assert power.state(deadline=Deadline.after(30)) is PowerState.ON
    assert ask(name, host, BOOT_ID, within_s=host.boot_s) != before


@pytest.mark.parametrize(("name", "host"), hosts().items(), ids=hosts())
def test_what_the_kernel_prints_is_on_the_console(name: str, host: OwnedHost) -> None:
    heard, nonce = bytearray(), uuid.uuid4().hex
    ask(name, host, "true", within_s=host.boot_s)
    stream = open_console(host.console, name, host.power, heard.extend, deadline=Deadline.after(60))
    try:
        deadline = Deadline.after(60)
        ask(name, host, f"echo '<0>{nonce}' >/dev/kmsg", within_s=60)
        while nonce.encode() not in heard:
            assert not deadline.passed, f"not on the console of {name}: {bytes(heard[-300:])!r}"
            deadline.clock.sleep(0.2)
    finally:
        stream.close()
