"""The faults of the test bed are what they say, as the drivers see them, and they end."""

from __future__ import annotations

import os
import uuid
from dataclasses import replace

import pytest

from harness.drivers.bmc import power_of
from harness.drivers.consoles import open_console
from harness.model.clock import Deadline
from harness.model.errors import HarnessError
from harness.model.owned_host import ConsoleSpec, OwnedHost
from harness.model.power import PowerState
from tests.testbed import faults
from tests.testbed.places import CONSERVER_ADDRESS, CONSERVER_PORT, double
from tests.testbed.rack import ask, hosts, shell
from tests.testbed.servers import by_telnet

# Only machines of the test bed have a plug that a test can pull.
pytestmark = pytest.mark.physical
HOSTS = {} if "HARNESS_PHYSICAL" in os.environ else hosts()
each_host = pytest.mark.parametrize(("name", "host"), HOSTS.items(), ids=HOSTS)


def state(name: str, host: OwnedHost, seconds: float) -> PowerState:
    assert host.power is not None
    return power_of(host.power, name).state(deadline=Deadline.after(seconds))


@each_host
def test_a_dead_bmc_does_not_answer_until_it_is_back(name: str, host: OwnedHost) -> None:
    with faults.bmc_dead(double(name)):
        assert state(name, host, 8) is PowerState.UNKNOWN
    end = Deadline.after(30)
    while state(name, host, 8) is not PowerState.ON:
        assert not end.passed


@each_host
def test_a_frozen_bmc_does_not_answer_until_it_goes_on(name: str, host: OwnedHost) -> None:
    with faults.bmc_frozen(double(name)):
        assert state(name, host, 5) is PowerState.UNKNOWN
    assert state(name, host, 30) is PowerState.ON


@each_host
def test_a_slow_bmc_answers(name: str, host: OwnedHost) -> None:
    with faults.bmc_slow(double(name), 0.5):
        assert state(name, host, 60) is PowerState.ON


@each_host
def test_a_cut_cable_lets_nobody_in_until_it_is_back(name: str, host: OwnedHost) -> None:
    ask(name, host, "true", within_s=host.boot_s)
    with faults.ssh_cut(double(name)), pytest.raises(HarnessError):
        shell(name, host).run("true", deadline=Deadline.after(5))
    assert ask(name, host, "echo in", within_s=60) == "in"


@each_host
def test_another_host_key_is_refused_and_the_old_one_comes_back(name: str, host: OwnedHost) -> None:
    ask(name, host, "true", within_s=host.boot_s)
    with faults.host_key_changed(double(name)), pytest.raises(HarnessError, match="host key"):
        shell(name, host).run("true", deadline=Deadline.after(20))
    assert ask(name, host, "echo in", within_s=60) == "in"


@pytest.mark.parametrize("name", [one.name for one in by_telnet() if one.name in HOSTS])
def test_conserver_shows_what_the_kernel_prints(name: str) -> None:
    heard, nonce = bytearray(), uuid.uuid4().hex
    spec = ConsoleSpec(driver="conserver", address=CONSERVER_ADDRESS, port=CONSERVER_PORT, console=name)
    host = replace(HOSTS[name], console=spec)
    stream = open_console(spec, name, None, heard.extend, deadline=Deadline.after(30))
    try:
        end = Deadline.after(60)
        while nonce.encode() not in heard:
            assert not end.passed, bytes(heard[-300:])
            ask(name, host, f"echo '<0>{nonce}' >/dev/kmsg", within_s=60)  # it connects when its reader is there
            end.clock.sleep(1)
    finally:
        stream.close()
