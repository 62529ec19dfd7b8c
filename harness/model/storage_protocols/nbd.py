"""Network block devices."""

from __future__ import annotations

from harness.model.finding import FindingKind, NoticeKind
from harness.model.storage_protocols.record import Message, Sign, StorageProtocol

_TIMEOUT = FindingKind.STORAGE_TIMEOUT

NBD = StorageProtocol(
    name="nbd",
    client_modules=("nbd",),
    client_programs=("nbd-client",),
    server_programs=("nbd-server",),
    symbols={"nbd": "BLK_DEV_NBD"},
    servers=("nbd-server", "nbdkit", "qemu-nbd", "qemu-storage-d"),
    port=10809,
    bound="timeout, dead_conn_timeout",
    device="nbd",
    function="nbd_",
    waits=("swap", "driver:nbd", "request"),
    receivers=r"nbd.*-recv$",
    senders=r"_*nbd_(?:send|queue|handle)_\w+ _*sock_xmit",
    drivers=r"nbd_\w+",
    driver_modules=r"nbd$",
    messages=(
        Message(_TIMEOUT, "block nbd",
                r"block (?P<device>nbd\d{1,5}): (?:Possible stuck request|Connection timed out|Dead connection"
                r"|(?:Send|Receive) (?:control|data|disconnect) failed|Attempted (?:send|recv|send on invalid socket)"
                r"|Request send failed|Raced with timeout)"),
        Message(_TIMEOUT, "block nbd", r"block (?P<device>nbd\d{1,5}): shutting down sockets", "se"),
        Message(FindingKind.IO_ERROR, "block nbd", r"block (?P<device>nbd\d{1,5}): Other side returned error"),
    ),
    signs=(
        Sign(NoticeKind.BLOCK_STUCK, "stuck request",
             r"\s*block (?P<about>\w{1,32}): Possible stuck request .{1,80}?Runtime \d{1,9} seconds"),
        Sign(NoticeKind.LINK_DOWN, "onnection",
             r"\s*(?P<about>block nbd\d{1,4}): .{0,60}?(?:conn error|onnection timed out|ead connection)"),
    ),
)  # fmt: skip
