"""What is known of a host beside its console: who serves its storage, and where."""

from __future__ import annotations

from dataclasses import dataclass

from harness.model.storage_protocols import PROTOCOLS, StorageProtocol

__all__ = ["HostContext", "serves"]


@dataclass(frozen=True, slots=True)
class HostContext:
    """`loopback`: the host is known to be its own storage server; `apart`: the server is known to be another host.

    `protocol` is that of the storage under test, None where it is local or not known.
    `stood_s` is for how many seconds an I/O that the harness itself had asked the host's storage for had stood when
    the host was looked at, `returned` how many slow ones had come back in the half minute before.
    """

    loopback: bool = False
    apart: bool = False
    protocol: StorageProtocol | None = None
    stood_s: float = 0.0
    returned: int = 0


def serves(name: str) -> StorageProtocol | None:
    """The protocol that a task of this name serves from user space; None if it is no known server.

    The kernel cuts names after 15 characters.
    """
    return next((it for it in PROTOCOLS if any(name == server[:15] for server in it.servers)), None)
