"""The hosts that these tests run on: those of an inventory."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.drivers.ssh import FabricShell, SshAddress
from harness.model.clock import Deadline
from harness.model.errors import HarnessError
from harness.model.owned_host import ConsoleSpec, OwnedHost, PowerSpec, Secret
from tests.testbed.places import folder

POLL_S = 1.0


def inventory() -> Path:
    """HARNESS_PHYSICAL, or that of the test bed."""
    return Path(os.environ.get("HARNESS_PHYSICAL") or folder() / "inventory.toml")


def hosts() -> dict[str, OwnedHost]:
    """The hosts that may be power-cycled, by name; HARNESS_PHYSICAL_HOSTS names some of them."""
    wanted = os.environ.get("HARNESS_PHYSICAL_HOSTS", "").split()
    tables = {table["name"]: table for table in tomllib.loads(inventory().read_text())["host"]}
    return {name: owned(tables[name]) for name in wanted or tables if tables[name].get("disposable")}


def owned(table: Mapping[str, Any]) -> OwnedHost:
    """What these tests need of a host's table."""
    return OwnedHost(
        address=table["address"],
        host_key=table["host_key"],
        user=table.get("user", ""),
        ssh_port=table.get("port"),
        identity=table.get("identity", ""),
        power=PowerSpec(**with_secret(table["power"])),
        console=ConsoleSpec(**with_secret(table["console"])),
        boot_s=table.get("boot_s", 900),
    )


def with_secret(table: Mapping[str, Any]) -> dict[str, Any]:
    """The table with its password as a record."""
    values = dict(table)
    for kind, name in values.get("password", {}).items():
        values["password"] = Secret(kind=kind, name=name)
    return values


def shell(name: str, host: OwnedHost) -> FabricShell:
    """The harness's own way in."""
    key = Path(host.identity) if host.identity else None
    return FabricShell(
        SshAddress(
            host=host.address, name=name, port=host.ssh_port, user=host.user, key_file=key, host_key=host.host_key
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
