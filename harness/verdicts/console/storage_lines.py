"""Headlines of storage: timeouts and failed requests.

`storage_timeout`: a request, server or path did not answer in time; the caller still waits or has given up.
`io_error`: the request is over, and its caller got an error. The strings are those of Linux 4.19 to 6.18. This module
has those of disks, networks and the block layer; those of a storage protocol are in its record.
"""

from __future__ import annotations

import re

from harness.model.finding import FindingKind as Kind
from harness.model.storage_protocols import PROTOCOLS
from harness.verdicts.console.headline import line

__all__ = ["ORDERLY", "STORAGE"]

_SCSI = r"(?:sd|sr|st|ses|scsi) [\d:]{7,24}:?"
_NVME = r"nvme (?:nvme\d{1,5}|\S{7,32}): "
_PORT = r"(?:NETDEV WATCHDOG: |[^\n]{0,64} (?P<device>[\w.@-]{1,15})(?: \([^)\n]{1,40}\))?: NETDEV WATCHDOG: )"

_PROTOCOLS = tuple(
    line(message.kind, message.token, message.regex, message.flags)
    for protocol in PROTOCOLS
    for message in protocol.messages
)
_SCSI_LINES = (
    line(Kind.STORAGE_TIMEOUT, "timing out", rf"{_SCSI} [^\n]{{0,40}}timing out command", "s"),
    line(Kind.STORAGE_TIMEOUT, "DID_T",
         rf"{_SCSI} [^\n]{{1,120}}hostbyte=DID_(?:TIME_OUT|TRANSPORT_DISRUPTED|TRANSPORT_FAILFAST)", "s"),
    line(Kind.STORAGE_TIMEOUT, "error recovery", rf"{_SCSI} Device offlined - not ready after error recovery", "s"),
    line(Kind.IO_ERROR, "rejecting I/O", rf"{_SCSI} (?:\[\w{{1,15}}\] )?rejecting I/O to (?:offline|dead) device", "s"),
    line(Kind.STORAGE_TIMEOUT, "FC remote port", r"\s?rport-[\d:-]{3,24}: blocked FC remote port time out", "s"),
    line(Kind.STORAGE_TIMEOUT, "SRP ", r"(?:scsi_transport_srp: )?dev_loss_tmo expired for SRP", "s"),
    line(Kind.STORAGE_TIMEOUT, "SRP ", r"scsi host\d{1,5}: SRP abort called", "s"),
)  # fmt: skip
_DISKS = (
    line(Kind.STORAGE_TIMEOUT, "timeout", rf"{_NVME}I/O [^\n]{{1,100}} timeout", "s"),
    line(Kind.STORAGE_TIMEOUT, "CSTS=", rf"{_NVME}controller is down; will reset: CSTS=", "s"),
    line(Kind.STORAGE_TIMEOUT, "timeout", r"(?:nvme \S{1,32}: )?NVME-FC\{[\d.]{1,12}\}: io timeout", "s"),
    line(Kind.STORAGE_TIMEOUT, "Emask", r"ata\d{1,4}(?:\.\d\d)?: exception Emask [^\n]{1,80} frozen", "s"),
    line(Kind.STORAGE_TIMEOUT, "timeout", r"ata\d{1,4}\.\d\d: qc timeout", "s"),
    line(Kind.STORAGE_TIMEOUT, "Failing path", r"device-mapper: multipath: (?:\d{1,5}:\d{1,5}: )?Failing path", "s"),
)  # fmt: skip
_NETWORK = (
    line(Kind.STORAGE_TIMEOUT, "timeout", r"(?P<device>[\w.@-]{1,15}): transmit timeout: latency", "s"),
    line(Kind.STORAGE_TIMEOUT, "queue stopped", r"(?P<device>[\w.@-]{1,15}): queue stopped \d, tx_head", "se"),
    line(Kind.STORAGE_TIMEOUT, "timing out",
         r"(?P<device>[\w.@-]{1,15}): (?:timing out; \d|RX drain timing out)", "s"),
    line(Kind.STORAGE_TIMEOUT, "WATCHDOG", rf"{_PORT}[^\n]{{0,80}}timed out", "s"),
)  # fmt: skip
_FAILED = (
    line(Kind.STORAGE_TIMEOUT, " error, dev ",
         r"(?:blk_update_request: |print_req_error: )?timeout error, dev \S{1,32}, sector", "s"),
    line(Kind.IO_ERROR, " error, dev ",
         r"(?:blk_update_request: |print_req_error: |end_request: )?"
         r"(?:I/O|critical \w{1,16}(?: \w{1,16})?|recoverable transport|device offline|protection|kernel resource)"
         r" error, dev \S{1,32}, sector", "s"),
    line(Kind.IO_ERROR, "I/O error", r"Buffer I/O error on dev", "s"),
    line(Kind.IO_ERROR, "Read-error on swap", r"Read-error on swap-device", "s"),
    line(Kind.IO_ERROR, "Write-error on swap", r"Write-error on swap-device", "s"),
)  # fmt: skip

STORAGE = (*_PROTOCOLS, *_SCSI_LINES, *_DISKS, *_NETWORK, *_FAILED)
"""Headlines of disks, networks and the block layer."""

ORDERLY = re.compile(r"block (?P<device>nbd\d{1,5}): (?:NBD_DISCONNECT|Disconnected due to user request)")
"""A requested disconnect; later messages about the device are no findings."""
