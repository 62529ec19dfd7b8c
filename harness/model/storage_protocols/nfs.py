"""NFS, and its companion protocols such as lockd."""

from __future__ import annotations

from harness.model.finding import FindingKind, NoticeKind
from harness.model.storage_protocols.record import Message, Sign, StorageProtocol

NFS = StorageProtocol(
    name="nfs",
    client_modules=("nfs", "nfsv3", "nfsv4"),
    client_programs=("mount.nfs",),
    server_programs=("rpc.nfsd", "rpc.mountd", "exportfs"),
    server_modules=("nfsd",),
    symbols={"nfs": "NFS_FS", "nfsd": "NFSD", "nfsv3": "NFS_V3", "nfsv4": "NFS_V4"},
    servers=("ganesha.nfsd", "unfsd", "rpc.nfsd3"),
    port=2049,
    bound="lease, grace, timeo and retrans",
    waits=("rpc", "nfs-request", "swap"),
    senders=r"""
        xs_(?:tcp|udp|local)_send\w* xs_sendpages xprt_(?:sock_sendmsg|transmit|request_transmit) rpc_rdma\w*
    """,
    messages=(
        Message(FindingKind.STORAGE_TIMEOUT, "not respond", r"\w{2,12}: server [^\n]{1,255} not responding"),
    ),
    signs=(
        Sign(NoticeKind.NFS_SILENT, "not responding", r"\s*(?:nfs|lockd): server (?P<about>\S{1,255}) not responding"),
        Sign(NoticeKind.NFS_BACK, " OK", r"\s*(?:nfs|lockd): server (?P<about>\S{1,255}) OK"),
        Sign(NoticeKind.NFSD_HERE, "NFSD: ",
             r"\s*NFSD: (?:Using .{1,40}? client tracking"
             r"|starting \d{1,6}-second grace|all clients done|no clients to reclaim)"),
    ),
)  # fmt: skip
