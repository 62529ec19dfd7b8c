"""Configuration for the system's own ssh, scp and sftp to log in to a sandbox's hosts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol, runtime_checkable

from harness.drivers.ssh import SshAddress
from harness.model.errors import InfraError
from harness.site.target import Target

# With -F, the user's own ssh_config is not read.
HOST = """\
Host {host}
    HostName {address.name}
    Port {address.port}
    User {address.user}
    IdentityFile {address.key_file}
    IdentitiesOnly yes
    HostKeyAlias {alias}
    UserKnownHostsFile {known_hosts}
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
    PasswordAuthentication no
    ControlPath none
    LogLevel ERROR
"""


@runtime_checkable
class Addressed(Protocol):
    """A shell with a known login address."""

    address: SshAddress


def address_of(target: Target) -> SshAddress:
    """Address, port and user to log in to a host; raises InfraError if it is not reached over SSH."""
    if not isinstance(target.shell, Addressed):
        raise InfraError(f"{target.name} is not reached over SSH")
    return target.shell.address


def host_config(sandbox: str, address: SshAddress, known_hosts: Path) -> str:
    """The ssh_config(5) section of one host; `known_hosts` is the file with the line of `known_host`."""
    return HOST.format(host=address.host, address=address, alias=_alias(sandbox, address), known_hosts=known_hosts)


def known_host(sandbox: str, address: SshAddress) -> str:
    """The known_hosts line of one host: its key under a name of its own, since ports are reused."""
    return f"{_alias(sandbox, address)} {address.host_key}\n"


def write_config(sandbox: str, addresses: Iterable[SshAddress], config: Path, known_hosts: Path) -> None:
    """Write both files for the hosts of a sandbox."""
    addresses = list(addresses)
    known_hosts.write_text("".join(known_host(sandbox, address) for address in addresses))
    config.write_text("\n".join(host_config(sandbox, address, known_hosts) for address in addresses))


def command_line(config: Path, host: str, words: Iterable[str]) -> list[str]:
    """The command that logs in to a host, or runs `words` there as ssh(1) would."""
    return ["ssh", "-F", str(config), host, *words]


def _alias(sandbox: str, address: SshAddress) -> str:
    return f"harness-{sandbox}-{address.host}"
