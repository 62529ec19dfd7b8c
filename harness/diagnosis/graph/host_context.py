"""Context of a host beyond its console: its storage server and protocol."""

from __future__ import annotations

from dataclasses import dataclass

from harness.model.storage_protocols import PROTOCOLS, StorageProtocol

__all__ = ["HostContext", "serves"]


@dataclass(frozen=True, slots=True)
class HostContext:
    """`loopback`: the host is known to be its own storage server; `apart`: the server is known to be another host.

    `protocol` is that of the storage under test, None if local or not known. When the host's tasks were dumped, an I/O
    of the harness's own had been pending for `stood_s` seconds; `returned` slow ones had completed in the 30 s before.
    """

    loopback: bool = False
    apart: bool = False
    protocol: StorageProtocol | None = None
    stood_s: float = 0.0
    returned: int = 0


def serves(name: str) -> StorageProtocol | None:
    """The protocol of the userspace server with this task name; None for any other task.

    The kernel cuts task names after 15 characters.
    """
    return next((it for it in PROTOCOLS if any(name == server[:15] for server in it.servers)), None)
