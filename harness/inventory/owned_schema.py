"""The schema of a host that somebody owns: its keys, and the valid values of each."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, model_validator

from harness.inventory.diagnostics import nearest, shown
from harness.inventory.values import Module, Name, Size, between, valid_cmdline, valid_kernel, wrong
from harness.model.owned_host import OWN_KERNEL, AgentSpec, ConsoleSpec, OwnedHost, PowerSpec, Secret
from harness.model.sizes import parse_bandwidth
from harness.model.topology import Host

KEY_TYPES = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")
BY_ID = "/dev/disk/by-id/"
INSTALLED = "installed:"
# Cipher suites that ipmitool 1.8.19 can use; 11 and 12 abort it.
CIPHERS = (3, 8, 17)
EXPECTED = ("memory", "cpus", "kernel", "driver", "rate", "firmware", "model", "bandwidth")
LONGEST_BOOT_S = 7200

# What each driver needs, and what it may have besides.
POWER_KEYS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "ipmi": (("address", "user", "password"), ("port", "cipher")),
    "redfish": (("address", "user", "password"), ("system", "ca", "fingerprint")),
    "command": (("on", "off", "status"), ("cycle",)),
    "pdudaemon": (("address", "outlet", "status"), ()),
    "labgrid": (("outlet",), ("address", "status")),
}
CONSOLE_KEYS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "ipmi-sol": ((), ()),
    "telnet": (("address", "port"), ("raw",)),
    "rfc2217": (("address", "port"), ("baud",)),
    "conserver": (("address", "console"), ("port",)),
    "ssh": (("command",), ()),
    "netconsole": (("port",), ("address",)),
    "none": ((), ()),
}
EXAMPLES = {
    "address": 'address = "192.0.2.111"',
    "user": 'user = "admin"',
    "password": 'password = { env = "IB1_BMC" }',
    "port": "port = 7001",
    "console": 'console = "ib1"',
    "command": 'command = "ssh consoles ib1"',
    "on": 'on = "outlet 7 on"',
    "off": 'off = "outlet 7 off"',
    "status": 'status = "outlet 7 status", which prints on or off',
    "outlet": 'outlet = "pdu1/7"',
}


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _secret(value: object) -> object:
    way_out = 'write { env = "NAME" }, { file = "PATH" } or { command = "TEXT" }'
    if isinstance(value, str):
        raise wrong("a password does not belong into an inventory", way_out)
    kinds = ("env", "file", "command")
    if not isinstance(value, dict) or len(value) != 1 or next(iter(value)) not in kinds:
        raise wrong("must say where the password is, in one way", way_out)
    kind, name = next(iter(value.items()))
    if not isinstance(name, str) or not name.strip():
        raise wrong(f"its {kind} must be a text", way_out)
    return Secret(kind=kind, name=name)


def _needs(what: str, table: Any, known: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]) -> Any:
    """Check the keys of a table that has a `driver`."""
    if not isinstance(table, dict):
        return table
    driver = table.get("driver")
    if driver is None:
        raise wrong("names no driver", f"the drivers are: {', '.join(known)}")
    if driver not in known:
        raise wrong(f"no {what} driver {shown(driver)}", nearest(str(driver), list(known), plural="drivers"))
    required, optional = known[driver]
    for key in required:
        if key not in table:
            raise wrong(f"driver {driver!r} needs {key}", f"add {EXAMPLES.get(key, key)}")
    for key in table:
        if key not in (*required, *optional, "driver"):
            have = ", ".join((*required, *optional)) or "none"
            raise wrong(f"driver {driver!r} has no key {shown(key)}", f"its keys are: {have}")
    return table


class PowerTable(_Table):
    """A host's `power`."""

    driver: str
    address: str = ""
    port: Annotated[int, AfterValidator(between(1, 65535))] | None = None
    user: str = ""
    password: Annotated[Secret | None, BeforeValidator(_secret)] = None
    cipher: int = 3
    system: str = ""
    ca: str = ""
    fingerprint: str = ""
    outlet: str = ""
    on: str = ""
    off: str = ""
    cycle: str = ""
    status: str = ""

    @model_validator(mode="before")
    @classmethod
    def _keys(cls, table: Any) -> Any:
        return _needs("power", table, POWER_KEYS)

    @model_validator(mode="after")
    def _fits(self) -> PowerTable:
        if self.driver == "ipmi" and self.cipher not in CIPHERS:
            known = ", ".join(map(str, CIPHERS))
            raise wrong(f"ipmitool cannot use cipher suite {self.cipher}", f"the suites are: {known}; most BMCs have 3")
        if self.driver == "redfish":
            parts = urlsplit(self.address)
            if parts.scheme != "https" or not parts.hostname:
                raise wrong(f"{shown(self.address)} is no https address", 'write "https://192.0.2.111"')
            if bool(self.ca) == bool(self.fingerprint):
                hint = 'add ca = "FILE", or fingerprint = the SHA-256 of its certificate'
                raise wrong("its TLS must be verified in one way", hint)
            digits = self.fingerprint.replace(":", "")
            if self.fingerprint and not re.fullmatch(r"[0-9A-Fa-f]{64}", digits):
                raise wrong("its fingerprint is no SHA-256", "write 64 hexadecimal digits, colons are ignored")
        return self


class ConsoleTable(_Table):
    """A host's `console`, and `over` of its agent."""

    driver: str
    address: str = ""
    port: Annotated[int, AfterValidator(between(1, 65535))] | None = None
    raw: bool = False
    baud: Annotated[int, AfterValidator(between(50, 4_000_000))] = 115200
    console: str = ""
    command: str = ""

    @model_validator(mode="before")
    @classmethod
    def _keys(cls, table: Any) -> Any:
        return _needs("console", table, CONSOLE_KEYS)


class AgentTable(_Table):
    """A host's `agent`."""

    port: str = ""
    over: ConsoleTable | None = None
    udp: Annotated[int, AfterValidator(between(1, 65535))] | None = None

    @model_validator(mode="after")
    def _one(self) -> AgentTable:
        if self.port and self.udp is not None:
            raise wrong("has a serial port and UDP", "an agent has one channel; leave one out")
        if bool(self.port) != (self.over is not None):
            hint = 'write { port = "/dev/ttyS1", over = { driver = "telnet", … } }'
            raise wrong("a serial port needs what reaches its other end, and the other way round", hint)
        if self.port and not self.port.startswith("/dev/"):
            raise wrong(f"{shown(self.port)} is no serial port of a host", 'write such as "/dev/ttyS1"')
        return self


def _host_key(text: str) -> str:
    hint = "write the type and the key, as in /etc/ssh/ssh_host_ed25519_key.pub, or as ssh-keyscan prints them"
    kind, _, rest = text.strip().partition(" ")
    if kind not in KEY_TYPES:
        raise wrong(f"{shown(text)} is no SSH host key", hint)
    try:
        blob = base64.b64decode(rest.split()[0] if rest.split() else "", validate=True)
    except (binascii.Error, ValueError) as error:
        raise wrong("the SSH host key is damaged", hint) from error
    if blob[4 : 4 + len(kind)] != kind.encode():
        raise wrong(f"the SSH host key is not of the type {kind}", hint)
    return text.strip()


def _scratch(path: str) -> str:
    if not path.startswith(BY_ID) or not re.fullmatch(r"[\w.:=+@-]+", path.removeprefix(BY_ID)):
        hint = f'write its stable name, such as "{BY_ID}nvme-…"; names such as /dev/sdb change'
        raise wrong(f"{shown(path)} is no name below {BY_ID}", hint)
    return path


def _interface(text: str) -> str:
    if not re.fullmatch(r"[\w.:@-]{1,15}", text):
        raise wrong(f"{shown(text)} is no name of an interface", 'write such as "ib0"')
    return text


def _expected(values: dict[str, str]) -> dict[str, str]:
    for key in values:
        if key not in EXPECTED:
            raise wrong(f"nothing is known of {shown(key)}", nearest(key, EXPECTED, plural="keys"))
    try:
        parse_bandwidth(values.get("bandwidth", "1 Mbit/s"))
    except ValueError as error:
        raise wrong(f"bandwidth: {error}", 'write such as "9.4 Gbit/s"') from None
    return values


def _any_kernel(text: str) -> str:
    if text == OWN_KERNEL or (text.startswith(INSTALLED) and text.removeprefix(INSTALLED)):
        return text
    return valid_kernel(text)


class OwnedTable(_Table):
    """One `[[host]]` with `kind = "physical"`."""

    name: Name
    kind: Literal["physical"]
    address: str
    host_key: Annotated[str, AfterValidator(_host_key)]
    port: Annotated[int, AfterValidator(between(1, 65535))] | None = None
    user: str = ""
    identity: str = ""
    jump: str = ""
    disposable: bool = False
    scratch: Annotated[str, AfterValidator(_scratch)] | None = None
    scratch_serial: str = ""
    scratch_size: Size = 0
    power: PowerTable | None = None
    console: ConsoleTable = ConsoleTable(driver="none")
    agent: AgentTable = AgentTable()
    boot_s: Annotated[int, AfterValidator(between(30, LONGEST_BOOT_S))] = 900
    links: dict[Name, Annotated[str, AfterValidator(_interface)]] = {}
    expect: Annotated[dict[str, str], AfterValidator(_expected)] = {}
    kernel: Annotated[str, AfterValidator(_any_kernel)] = OWN_KERNEL
    cmdline: Annotated[str, AfterValidator(valid_cmdline)] = ""
    modules: list[Module] = []


def owned_host(table: OwnedTable, folder: Path) -> Host:
    """The host of a table; paths are relative to `folder`."""
    power = None
    if table.power is not None:
        values = table.power.model_dump()
        values["password"] = _located(table.power.password, folder)
        values["ca"] = _path(table.power.ca, folder)
        power = PowerSpec(**values)
    over = ConsoleSpec(**table.agent.over.model_dump()) if table.agent.over is not None else None
    return Host(
        name=table.name,
        memory=0,
        cpus=0,
        disk=0,
        kernel=table.kernel,
        cmdline=table.cmdline,
        owned=OwnedHost(
            address=table.address,
            host_key=table.host_key,
            user=table.user,
            ssh_port=table.port,
            identity=_path(table.identity, folder),
            jump=table.jump,
            disposable=table.disposable,
            scratch=table.scratch or "",
            scratch_serial=table.scratch_serial,
            scratch_size=table.scratch_size,
            power=power,
            console=ConsoleSpec(**table.console.model_dump()),
            agent=AgentSpec(port=table.agent.port, over=over, udp=table.agent.udp),
            links=dict(table.links),
            expect=dict(table.expect),
            boot_s=float(table.boot_s),
        ),
    )


def _path(name: str, folder: Path) -> str:
    return str(folder / Path(name).expanduser()) if name else ""


def _located(secret: Secret | None, folder: Path) -> Secret | None:
    if secret is None or secret.kind != "file":
        return secret
    return Secret(kind="file", name=_path(secret.name, folder))
