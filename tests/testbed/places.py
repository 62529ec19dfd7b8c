"""Files and addresses of the test bed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

SSH_PORT, ECHO_PORT, BMC_PORT, REDFISH_PORT = 2222, 7077, 6230, 8443
CONSOLE_PORT, AGENT_PORT = 6001, 6002
CONSERVER_ADDRESS, CONSERVER_PORT = "127.0.0.1", 7820
USER, BMC_USER, BMC_PASSWORD = "owner", "admin", "testbed-secret"
SCRATCH_SIZE = "2 GiB"


def folder() -> Path:
    """The folder of everything that the test bed builds and runs; HARNESS_TESTBED names another."""
    named = os.environ.get("HARNESS_TESTBED")
    return Path(named) if named else Path.home() / ".cache/harness/testbed"


def switch_folder() -> Path:
    """The switch of m3 and m4, as their owner's network: guests can be connected to it."""
    return folder() / "net/rack.ctl"


@dataclass(frozen=True)
class Double:
    """One machine of the test bed: `bmc` is "ipmi" or "redfish", `agent` "serial", "udp" or "ssh"."""

    number: int
    bmc: str
    agent: str
    memory_mib: int = 640

    @property
    def name(self) -> str:
        return f"m{self.number}"

    @property
    def home(self) -> Path:
        return folder() / self.name

    @property
    def address(self) -> str:
        """Where its SSH server and its agent's echo are reached."""
        return f"127.0.0.{10 + self.number}"

    @property
    def bmc_address(self) -> str:
        """Where its BMC and its consoles are reached."""
        return f"127.0.0.{110 + self.number}"

    @property
    def uuid(self) -> str:
        return f"b0a7ed00-0000-4000-8000-00000000000{self.number}"

    @property
    def scratch_serial(self) -> str:
        return f"testbed-scratch-{self.number}"


DOUBLES = (
    Double(1, bmc="ipmi", agent="serial"),
    Double(2, bmc="redfish", agent="udp"),
    Double(3, bmc="ipmi", agent="ssh"),
    Double(4, bmc="ipmi", agent="ssh", memory_mib=704),  # the odd one out of the rack
)


def double(name: str) -> Double:
    """The double of that name; raises KeyError."""
    return {one.name: one for one in DOUBLES}[name]
