"""NVMe over TCP, served by the kernel's target. Its messages are those of any NVMe fabric, Linux 5.4 to 6.18.

With native multipath, the disk that is mounted or swapped to has paths below it, and holds requests that no path takes.
"""

from __future__ import annotations

from harness.model.finding import FindingKind, NoticeKind
from harness.model.storage_protocols.record import Message, Sign, StorageProtocol

_TIMEOUT = FindingKind.STORAGE_TIMEOUT
_CONTROLLER = r"nvme (?P<device>nvme\d{1,5}|\S{7,32}): "
_DISK = r"block (?P<device>nvme\d{1,5}n\d{1,5}): "
_ABOUT = r"\s*nvme (?P<about>nvme\d{1,5}): "

NVME_TCP = StorageProtocol(
    name="nvme-tcp",
    client_modules=("nvme_tcp",),
    client_programs=("nvme",),
    server_modules=("configfs", "nvmet", "nvmet_tcp"),
    symbols={"nvme_tcp": "NVME_TCP", "nvmet": "NVME_TARGET", "nvmet_tcp": "NVME_TARGET_TCP", "configfs": "CONFIGFS_FS"},
    port=4420,
    bound="keep_alive_tmo, ctrl_loss_tmo, fast_io_fail_tmo",
    device="/nvme",
    shares_device=True,
    function="nvme_tcp_",
    waits=("swap", "request"),
    senders=r"nvme_tcp_(?:try_send|io_work)\w*",
    messages=(
        Message(_TIMEOUT, "timeout", rf"{_CONTROLLER}queue \d{{1,5}}: timeout (?:request|cid)"),
        Message(_TIMEOUT, "keep-alive failed", rf"{_CONTROLLER}keep-alive failed"),
        Message(_TIMEOUT, "keep_alive_end_io", rf"{_CONTROLLER}failed nvme_keep_alive_end_io error="),
        Message(_TIMEOUT, "keep-alive timer", r"nvmet: ctrl \d{1,5} keep-alive timer \(\d{1,9} seconds\) expired"),
        Message(_TIMEOUT, "error recovery", rf"{_CONTROLLER}starting error recovery"),
        # The first follows the error recovery, the others follow each attempt.
        Message(_TIMEOUT, "econnect", rf"{_CONTROLLER}(?:Reconnecting in \d|Failed reconnect attempt)", "se"),
        Message(_TIMEOUT, "no usable path", rf"{_DISK}no usable path - requeuing I/O", "se"),
        Message(FindingKind.IO_ERROR, "no available path", rf"{_DISK}no available path - failing I/O"),
        # Given up: after fast_io_fail_tmo, and after ctrl_loss_tmo. A disconnect says "Removing ctrl".
        Message(_TIMEOUT, "failfast expired", rf"{_CONTROLLER}failfast expired"),
        Message(_TIMEOUT, "Removing controller", rf"{_CONTROLLER}Removing controller"),
    ),
    signs=(
        Sign(NoticeKind.BLOCK_STUCK, " timeout", rf"{_ABOUT}queue \d{{1,5}}: timeout"),
        # since v6.7; without the type it is a local disk's
        Sign(NoticeKind.BLOCK_STUCK, " timeout",
             rf"{_ABOUT}I/O tag \d{{1,5}} \(\w{{1,8}}\) type \d .{{0,80}}? timeout"),
        Sign(NoticeKind.LINK_DOWN, "error recovery", rf"{_ABOUT}starting error recovery"),
        Sign(NoticeKind.LINK_DOWN, "econnect", rf"{_ABOUT}(?:Reconnecting in \d|Failed reconnect attempt)"),
        Sign(NoticeKind.BLOCK_ERROR, "no available path",
             r"\s*block (?P<about>nvme\d{1,5}n\d{1,5}): no available path"),
    ),
)  # fmt: skip
