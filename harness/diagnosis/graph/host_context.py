"""What is known of a host beside its console: who serves its storage, and where."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SERVERS", "HostContext", "serves"]

SERVERS: dict[str, str] = {
    "nbd-server": "nbd", "nbdkit": "nbd", "qemu-nbd": "nbd", "qemu-storage-d": "nbd",
    "ganesha.nfsd": "nfs", "unfsd": "nfs", "rpc.nfsd3": "nfs",
    "tgtd": "iscsi", "istgtd": "iscsi", "tcmu-runner": "iscsi", "scst_daemon": "iscsi",
    "vblade": "aoe", "glusterfs": "fuse", "glusterfsd": "fuse", "sshfs": "fuse", "mount.ntfs": "fuse",
    "ntfs-3g": "fuse", "s3fs": "fuse", "rclone": "fuse", "fuse2fs": "fuse", "ublk": "ublk", "ceph-osd": "ceph",
}  # fmt: skip
"""Userspace programs that serve storage, to the protocol that they serve. The kernel cuts names after 15 characters."""


@dataclass(frozen=True, slots=True)
class HostContext:
    """`loopback`: the host is known to be its own storage server; `apart`: the server is known to be another host.

    `stood_s` is for how many seconds an I/O that the harness itself had asked the host's storage for had stood when
    the host was looked at, `returned` how many slow ones had come back in the half minute before.
    """

    loopback: bool = False
    apart: bool = False
    stood_s: float = 0.0
    returned: int = 0


def serves(name: str) -> str:
    """The protocol that a task of this name serves from user space; "" if it is no known server."""
    return next((protocol for server, protocol in SERVERS.items() if name == server[:15]), "")
