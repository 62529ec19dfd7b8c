"""The hosts that these tests run on: those of an inventory."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, closing
from pathlib import Path

import psutil

from harness.drivers.ssh import FabricShell, SshAddress
from harness.inventory.cross_checks import Limits
from harness.inventory.inventory import load_inventory
from harness.model.clock import Deadline
from harness.model.errors import HarnessError
from harness.model.owned_host import OwnedHost
from harness.physical import reservation
from harness.physical.survey import HostSurvey, survey
from tests.testbed.places import folder

POLL_S = 1.0
LOOK_S = 120.0


def inventory() -> Path:
    """HARNESS_PHYSICAL, or that of the test bed."""
    return Path(os.environ.get("HARNESS_PHYSICAL") or folder() / "inventory.toml")


def hosts() -> dict[str, OwnedHost]:
    """The hosts that may be power-cycled, by name; HARNESS_PHYSICAL_HOSTS names some of them."""
    limits = Limits(machine_memory=psutil.virtual_memory().total)
    topologies = load_inventory(inventory(), limits=limits).topologies.values()
    found = {host.name: host.owned for topology in topologies for host in topology.hosts}
    wanted = os.environ.get("HARNESS_PHYSICAL_HOSTS", "").split() or sorted(found)
    return {name: host for name in wanted if (host := found[name]) is not None and host.disposable and host.power}


def shell(name: str, host: OwnedHost) -> FabricShell:
    """The harness's own way in."""
    key = Path(host.identity) if host.identity else None
    return FabricShell(
        SshAddress(
            host=name, name=host.address, port=host.ssh_port, user=host.user, key_file=key, host_key=host.host_key
        )
    )


def ask(name: str, host: OwnedHost, command: str, *, within_s: float) -> str:
    """What a command prints, as soon as the host answers; raises the last error after `within_s`."""
    deadline = Deadline.after(within_s)
    while True:
        login = shell(name, host)
        try:
            return login.run(command, deadline=deadline.within(20)).stdout.strip()
        except HarnessError:
            if deadline.passed:
                raise
            deadline.clock.sleep(POLL_S)
        finally:
            login.close()


def on_host(name: str, command: str, *arguments: object) -> str:
    """What a command prints on a host; raises ShellError."""
    with _login(name) as login:
        return login.run(command, *arguments, deadline=Deadline.after(LOOK_S)).stdout.strip()


def look(name: str) -> HostSurvey:
    """The survey of a host, to compare it with itself."""
    with _login(name) as login:
        return survey(login, name, programs=(), deadline=Deadline.after(LOOK_S))


def is_free(name: str) -> bool:
    """Whether nobody has reserved a host."""
    with _login(name) as login:
        return reservation.look(login, Deadline.after(LOOK_S / 2)).is_free


def _login(name: str) -> AbstractContextManager[FabricShell]:
    return closing(shell(name, hosts()[name]))
