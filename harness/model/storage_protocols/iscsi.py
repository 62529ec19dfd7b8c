"""iSCSI. Messages that the SCSI layer prints for any disk are not part of it."""

from __future__ import annotations

from harness.model.finding import FindingKind, NoticeKind
from harness.model.storage_protocols.record import Message, Sign, StorageProtocol

_TIMEOUT = FindingKind.STORAGE_TIMEOUT
_CONNECTION = r"(?:iscsi: )?connection\d{1,9}:\d{1,9}"

ISCSI = StorageProtocol(
    name="iscsi",
    client_modules=("iscsi_tcp", "sd_mod"),
    client_programs=("iscsiadm", "iscsid"),
    server_modules=("configfs", "iscsi_target_mod", "target_core_file"),
    symbols={
        "configfs": "CONFIGFS_FS", "iscsi_target_mod": "ISCSI_TARGET", "iscsi_tcp": "ISCSI_TCP",
        "sd_mod": "BLK_DEV_SD", "target_core_file": "TCM_FILEIO",
    },
    servers=("tgtd", "istgtd", "tcmu-runner", "scst_daemon"),
    port=3260,
    bound="noop_out, replacement_timeout",
    waits=("swap", "request"),
    senders=r"iscsi_(?:sw_)?tcp_\w+ iscsi_xmit\w+",
    drivers=r"iscsi_\w+",
    driver_modules=r"libiscsi\w*$ iscsi_tcp$",
    messages=(
        Message(_TIMEOUT, "timeout", rf"{_CONNECTION}: ping timeout of"),
        Message(_TIMEOUT, "conn error", rf"{_CONNECTION}: detected conn error"),
        Message(_TIMEOUT, "recovery timed out", r"(?:iscsi: )?session\d{1,9}: session recovery timed out"),
    ),
    signs=(
        Sign(NoticeKind.LINK_DOWN, "onnection",
             r"\s*(?P<about>connection\d{1,6}:\d{1,3}): .{0,60}?(?:conn error|onnection timed out|ead connection)"),
        Sign(NoticeKind.LINK_DOWN, "onnection",
             r"\s*(?P<about>connection\d{1,6}:\d{1,3}): ping timeout of \d{1,6} secs expired"),
        Sign(NoticeKind.LINK_DOWN, "timed out after", r"\s*(?P<about>session\d{1,6}): session recovery timed out"),
    ),
)  # fmt: skip
