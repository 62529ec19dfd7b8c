"""SMB, with the kernel's cifs client."""

from __future__ import annotations

from harness.model.finding import FindingKind
from harness.model.storage_protocols.record import Message, StorageProtocol

SMB = StorageProtocol(
    name="smb",
    client_modules=("cifs",),
    client_programs=("mount.cifs",),
    server_programs=("smbd",),
    symbols={"cifs": "CIFS"},
    port=445,
    bound="echo_interval",
    messages=(Message(FindingKind.STORAGE_TIMEOUT, "not respond", r"CIFS: [^\n]{1,255} has not responded in"),),
)
