"""Protocols without a storage under test; their console messages are recognised all the same."""

from __future__ import annotations

from harness.model.finding import NoticeKind
from harness.model.storage_protocols.record import Sign, StorageProtocol

FUSE = StorageProtocol(
    name="fuse",
    servers=("glusterfs", "glusterfsd", "sshfs", "mount.ntfs", "ntfs-3g", "s3fs", "rclone", "fuse2fs"),
    waits=("fuse",),
)
UBLK = StorageProtocol(name="ublk", servers=("ublk",), waits=("request",))
CEPH = StorageProtocol(
    name="ceph",
    servers=("ceph-osd",),
    device="/rbd",
    function="rbd_",
    waits=("ceph",),
    senders=r"ceph_tcp_send\w+",
    driver_modules=r"rbd$",
)
DRBD = StorageProtocol(
    name="drbd",
    device="/drbd",
    function="drbd_",
    senders=r"drbd_send\w*",
    drivers=r"drbd_\w+",
    driver_modules=r"drbd$",
    signs=(Sign(NoticeKind.BLOCK_STUCK, "blocked for", r"\s*(?P<about>drbd \S{1,40}): .{0,60}?blocked for"),),
)
