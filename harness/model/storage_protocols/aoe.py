"""ATA over Ethernet. Its driver prints no time-outs: a device that stops answering shows as I/O errors."""

from __future__ import annotations

from harness.model.finding import FindingKind
from harness.model.storage_protocols.record import Message, StorageProtocol

AOE = StorageProtocol(
    name="aoe",
    client_modules=("aoe",),
    server_programs=("vblade",),
    server_modules=("af_packet",),
    symbols={"aoe": "ATA_OVER_ETH", "af_packet": "PACKET"},
    servers=("vblade",),
    bound="aoe_deadsecs",
    device="etherd",
    function="aoe",
    waits=("swap", "request"),
    senders=r"aoe\w*_(?:xmit|send)\w*",
    driver_modules=r"aoe$",
    messages=(
        Message(FindingKind.IO_ERROR, "aoe: ", r"aoe: (?:device [\d.]{3,12} is not up|disk not up|ata error)"),
    ),
)  # fmt: skip
