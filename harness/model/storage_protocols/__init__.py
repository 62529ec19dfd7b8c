"""Storage protocols, one record each; all other code reads the properties of a protocol from its record.

A new protocol is a file here, a storage in `harness/storage/`, and their tests.
"""

from __future__ import annotations

from harness.model.storage_protocols.aoe import AOE
from harness.model.storage_protocols.iscsi import ISCSI
from harness.model.storage_protocols.nbd import NBD
from harness.model.storage_protocols.nfs import NFS
from harness.model.storage_protocols.nvme_tcp import NVME_TCP
from harness.model.storage_protocols.others import CEPH, DRBD, FUSE, UBLK
from harness.model.storage_protocols.record import Message, Sign, StorageProtocol
from harness.model.storage_protocols.smb import SMB

__all__ = [
    "AOE", "CEPH", "DRBD", "FUSE", "ISCSI", "NBD", "NFS", "NVME_TCP", "PROTOCOLS", "SMB", "UBLK",
    "Message", "Sign", "StorageProtocol", "protocol_named",
]  # fmt: skip

PROTOCOLS: tuple[StorageProtocol, ...] = (NBD, NFS, SMB, ISCSI, NVME_TCP, AOE, FUSE, UBLK, CEPH, DRBD)


def protocol_named(name: str) -> StorageProtocol | None:
    """The protocol called `name`; None if there is none."""
    return next((protocol for protocol in PROTOCOLS if protocol.name == name), None)
