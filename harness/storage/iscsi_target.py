"""iSCSI servers: tgt, a process, and LIO, the kernel's target, set up over configfs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from harness.model.storage_protocols import ISCSI

TARGET = "iqn.2012-06.invalid.harness:disk"
PORT = ISCSI.port
FOLDER = "/srv/harness-iscsi"
NOTES = "/run/harness/storage"  # notes of what tear-down has to undo
CONFIGFS = "/sys/kernel/config"
CORE = f"{CONFIGFS}/target/core/fileio_0"
FABRIC = f"{CONFIGFS}/target/iscsi"
GROUP = f"{FABRIC}/{TARGET}/tpgt_1"
LISTENS = f"for i in $(seq 50); do ss -Hltn 'sport = :{PORT}' | grep -q . && exit 0; sleep 0.1; done; exit 1"
# tgtd answers tgtadm only a moment after it has gone to the background.
TGT_START = """\
mkdir -p /run/tgtd {notes} && tgtd && for i in $(seq 50); do tgtadm --op show --mode system >/dev/null 2>&1 && break; \
sleep 0.1; done; ask="tgtadm --lld iscsi --op"; $ask new --mode target --tid 1 -T {target} && \
$ask new --mode logicalunit --tid 1 --lun 1 -b {image} && $ask bind --mode target --tid 1 -I ALL"""
TGT_STOP = (
    "pkill -CONT -x tgtd; pkill -KILL -x tgtd; rm -rf /run/tgtd"  # while it has a target, nothing but SIGKILL ends it
)
# Without authentication. targetcli writes the same files.
LIO_START = """\
mkdir -p {notes} && modprobe configfs && \
{{ mountpoint -q {configfs} || {{ mount -t configfs none {configfs} && touch {notes}/configfs; }}; }} && \
modprobe iscsi_target_mod && modprobe target_core_file && \
mkdir -p {core}/harness && echo fd_dev_name={image},fd_dev_size={size},fd_buffered_io=1 >{core}/harness/control && \
echo 1 >{core}/harness/enable && mkdir -p {group}/lun/lun_0 {group}/np/0.0.0.0:{port} && \
ln -s {core}/harness {group}/lun/lun_0/harness && \
echo 0 >{group}/attrib/authentication && echo 1 >{group}/attrib/generate_node_acls && \
echo 0 >{group}/attrib/demo_mode_write_protect && echo 1 >{group}/enable"""
LIO_STOP = """\
echo 0 >{group}/enable; rm -f {group}/lun/lun_0/harness; \
rmdir {group}/np/* {group}/lun/lun_0 {group} {fabric}/{target} {fabric} {core}/harness {core}; \
[ ! -e {notes}/configfs ] || {{ umount {configfs}; rm {notes}/configfs; }}"""


class IscsiServer(Protocol):
    """A server that exports a file as a disk; its commands run in the shell of its host."""

    @property
    def critical_tasks(self) -> tuple[str, ...]:
        """Names of the server's tasks."""

    @property
    def modules(self) -> tuple[str, ...]:
        """Kernel modules that the server needs."""

    def start(self, image: str, size: int) -> str:
        """A command that serves the file `image` of `size` bytes."""

    @property
    def stop(self) -> str:
        """A command that ends the server in any state that a fault left it in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tgt:
    """tgtd. It reads and writes the file through the page cache and exempts itself from the OOM killer."""

    def __str__(self) -> str:
        return "tgt"

    @property
    def critical_tasks(self) -> tuple[str, ...]:
        """See `IscsiServer.critical_tasks`."""
        return ("tgtd",)

    @property
    def modules(self) -> tuple[str, ...]:
        """See `IscsiServer.modules`."""
        return ()

    def start(self, image: str, size: int) -> str:
        """See `IscsiServer.start`."""
        return TGT_START.format(notes=NOTES, target=TARGET, image=image)

    @property
    def stop(self) -> str:
        """See `IscsiServer.stop`."""
        return TGT_STOP


@dataclass(frozen=True, slots=True, kw_only=True)
class Lio:
    """The kernel's target. It reads and writes the file through the page cache (fd_buffered_io)."""

    def __str__(self) -> str:
        return "LIO"

    @property
    def critical_tasks(self) -> tuple[str, ...]:
        """See `IscsiServer.critical_tasks`."""
        return ()  # kernel threads

    @property
    def modules(self) -> tuple[str, ...]:
        """See `IscsiServer.modules`."""
        return ISCSI.server_modules

    def start(self, image: str, size: int) -> str:
        """See `IscsiServer.start`."""
        places = {"configfs": CONFIGFS, "core": CORE, "group": GROUP, "notes": NOTES}
        return LIO_START.format(image=image, size=size, port=PORT, **places)

    @property
    def stop(self) -> str:
        """See `IscsiServer.stop`."""
        places = {"configfs": CONFIGFS, "core": CORE, "group": GROUP, "fabric": FABRIC, "notes": NOTES}
        return LIO_STOP.format(target=TARGET, **places)


TGT, LIO = Tgt(), Lio()
