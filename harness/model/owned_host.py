"""What an inventory says of a host that somebody owns: how it is reached, powered and watched, and what may be used.

Facts only; `inventory.schema` checks them, drivers act upon them. A secret is a reference: its value is read when it is
needed and never stored, so these records can be pickled, and written into notes of a run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

OWN_KERNEL = "owner"  # `kernel` of a host that stays on the kernel that its owner boots


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """Where a secret is: an environment variable, the first line of a file, or of a command's output."""

    kind: Literal["env", "file", "command"]
    name: str

    def __str__(self) -> str:
        """The reference, never the value."""
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerSpec:
    """A power source.

    | driver | what it uses |
    | --- | --- |
    | `ipmi` | `address`, `port`, `user`, `password`, `cipher` (suite number) |
    | `redfish` | `address` (an https URL), `system` ("" if the service has one), `user`, `password`, `ca` (file) or
    `fingerprint` (SHA-256 of the certificate, in hex) |
    | `command` | `on`, `off`, `status` and perhaps `cycle`: commands of this machine; the first line that `status`
    prints is on, off or unknown |
    | `pdudaemon` | `address` (an http or https URL), `outlet` (host name and port of the outlet: `pdu1/3`), `status` |
    | `labgrid` | `outlet` (the name of a place), `address` of the coordinator |
    """

    driver: str
    address: str = ""
    port: int | None = None
    user: str = ""
    password: Secret | None = None
    cipher: int = 3
    system: str = ""
    ca: str = ""
    fingerprint: str = ""
    outlet: str = ""
    on: str = ""
    off: str = ""
    cycle: str = ""
    status: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleSpec:
    """A serial console, or what stands in for one.

    | driver | what it uses |
    | --- | --- |
    | `ipmi-sol` | the power source's address, user and password (`PowerSpec` with driver `ipmi`) |
    | `telnet` | `address`, `port`; `raw` without telnet's options |
    | `rfc2217` | `address`, `port`, `baud` |
    | `conserver` | `address`, `port`, `console` (its name there) |
    | `ssh` | `command`, such as `ssh console-server ib1`: runs under a terminal of its own |
    | `netconsole` | `port` on which this machine listens; it takes no input |
    | `none` | nothing |
    """

    driver: str
    address: str = ""
    port: int | None = None
    raw: bool = False
    baud: int = 115200
    console: str = ""
    command: str = ""
    user: str = ""
    password: Secret | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSpec:
    """The channel of the agent: a serial port of the host (`port`) and what reaches its other end (`over`), UDP to
    port `udp` of this machine, or else the SSH connection."""

    port: str = ""
    over: ConsoleSpec | None = None
    udp: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnedHost:
    """A host that somebody owns.

    `address` is a name, an IP address, or a Host of ~/.ssh/config; `user`, `ssh_port`, `identity` and `jump` complete
    it. `host_key` is pinned, as `ssh-ed25519 AAAA…`. `scratch` is a path below /dev/disk/by-id with the serial number
    `scratch_serial` (if given) and `scratch_size` bytes (if not 0). `links` maps a link to the name of an interface.
    `expect` has facts that the host must show. `boot_s` is the time from power on to SSH.
    """

    address: str
    host_key: str
    user: str = ""
    ssh_port: int | None = None
    identity: str = ""
    jump: str = ""
    disposable: bool = False
    scratch: str = ""
    scratch_serial: str = ""
    scratch_size: int = 0
    power: PowerSpec | None = None
    console: ConsoleSpec = ConsoleSpec(driver="none")
    agent: AgentSpec = AgentSpec()
    links: Mapping[str, str] = field(default_factory=dict)
    expect: Mapping[str, str] = field(default_factory=dict)
    boot_s: float = 900.0

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON has it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> OwnedHost:
        """The record of `to_dict`."""
        made = dict(values)
        made["power"] = _power(made["power"]) if made.get("power") else None
        made["console"] = _console(made["console"])
        agent = dict(made["agent"])
        agent["over"] = _console(agent["over"]) if agent.get("over") else None
        made["agent"] = AgentSpec(**agent)
        return cls(**made)


def _power(values: Mapping[str, Any]) -> PowerSpec:
    return PowerSpec(**{**values, "password": _secret(values.get("password"))})


def _console(values: Mapping[str, Any]) -> ConsoleSpec:
    return ConsoleSpec(**{**values, "password": _secret(values.get("password"))})


def _secret(values: Mapping[str, Any] | None) -> Secret | None:
    return Secret(**values) if values else None
