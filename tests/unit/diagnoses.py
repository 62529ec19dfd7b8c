"""Diagnoses of every shape, written by hand after measured hangs and those of mailing lists."""

from __future__ import annotations

from harness.model.diagnosis import Cited, Confidence, Diagnosis, Edge, Node, NodeKind
from harness.model.hang_classes import HangClass, Remedy


def cite(line: int, task: str = "", frame: str = "", source: str = "consoles/client.log") -> Cited:
    """Evidence on one line of a console."""
    return Cited(source=source, line=line, task=task, frame=frame)


LOOPBACK_NFS = Diagnosis(
    hang_class=HangClass.LOOPBACK_NFS_RECLAIM,
    confidence=Confidence.HIGH,
    title="drop_caches waits for the NFS server on the same machine, which waits for the shrinker lock",
    explanation=(
        "The writer of drop_caches holds shrinker_rwsem while it evicts an inode of the loopback mount, and waits for"
        " the server to take its delegation back. The server is being shut down and waits for shrinker_rwsem."
    ),
    nodes=(
        Node(name="bash", kind=NodeKind.TASK, label="bash (158426)", detail="writes to drop_caches"),
        Node(name="rpc", kind=NodeKind.RPC, label="DELEGRETURN", detail="NFSv4 to 127.0.0.1, hard mount"),
        Node(name="nfsd", kind=NodeKind.SERVER, label="nfsd", detail="rpc.nfsd (234305) shuts it down"),
        Node(name="rwsem", kind=NodeKind.LOCK, label="shrinker_rwsem"),
        Node(name="others", kind=NodeKind.TASK, label="systemd and others", detail="make a control group", count=14),
    ),
    edges=(
        Edge(
            waiter="bash",
            awaited="rpc",
            label="nfs4_wait_bit_killable",
            evidence=(cite(212, "bash", "nfs4_evict_inode"),),
        ),
        Edge(waiter="rpc", awaited="nfsd", label="answered by", sure=False),
        Edge(
            waiter="nfsd",
            awaited="rwsem",
            label="down_write in unregister_shrinker",
            evidence=(cite(301, "rpc.nfsd", "unregister_shrinker"),),
        ),
        Edge(
            waiter="rwsem", awaited="bash", label="held by (for reading)", evidence=(cite(214, "bash", "shrink_slab"),)
        ),
        Edge(
            waiter="others",
            awaited="rwsem",
            label="down_write in alloc_shrinker_info",
            evidence=(cite(15, "systemd", "alloc_shrinker_info"),),
        ),
    ),
    cycle=("bash", "rpc", "nfsd", "rwsem"),
    evidence=(
        cite(212, "bash", "nfs4_evict_inode"),
        cite(301, "rpc.nfsd", "unregister_shrinker"),
        cite(15, "systemd", "alloc_shrinker_info"),
    ),
    confirm=(
        "the client of the mount and nfsd have the same address: `nfsstat -m`",
        "killing the writer of drop_caches frees everything",
    ),
    remedies=(
        Remedy(
            text="a kernel whose shrinkers need no lock",
            commit='ca1d36b82394 ("mm: shrinker: make global slab shrink lockless"), v6.7',
        ),
        Remedy(text="stop nfsd only after the loopback mounts are gone"),
    ),
)

LOOPBACK_NBD = Diagnosis(
    hang_class=HangClass.LOCAL_STORAGE_SERVER,
    confidence=Confidence.MEDIUM,
    title="nbd-server waits for memory that only its own answers can free",
    explanation="Every task waits for a page to be written to nbd0, whose server is on this host and in reclaim too.",
    nodes=(
        Node(name="workers", kind=NodeKind.TASK, label="thrash", detail="swap in and reclaim", count=14),
        Node(name="kswapd", kind=NodeKind.TASK, label="kswapd0", detail="writes pages out"),
        Node(name="page", kind=NodeKind.PAGE, label="swap page under writeback"),
        Node(name="request", kind=NodeKind.REQUEST, label="nbd0: 128 requests in flight"),
        Node(name="server", kind=NodeKind.SERVER, label="nbd-server (211)", detail="user space, on the same host"),
        Node(name="memory", kind=NodeKind.MEMORY, label="free pages"),
    ),
    edges=(
        Edge(
            waiter="workers",
            awaited="page",
            label="folio_wait_bit_common in __read_swap_cache_async",
            evidence=(cite(41, "thrash", "folio_wait_bit_common"),),
        ),
        Edge(
            waiter="kswapd",
            awaited="request",
            label="blk_mq_get_tag",
            evidence=(cite(88, "kswapd0", "blk_mq_get_tag"),),
        ),
        Edge(waiter="page", awaited="request", label="is written by", sure=False),
        Edge(waiter="request", awaited="server", label="answered by", sure=False),
        Edge(
            waiter="server",
            awaited="memory",
            label="mempool_alloc in bio_alloc_bioset",
            evidence=(cite(120, "nbd-server", "mempool_alloc"),),
        ),
        Edge(waiter="memory", awaited="page", label="freed once it is written"),
    ),
    cycle=("page", "request", "server", "memory"),
    evidence=(
        cite(41, "thrash", "folio_wait_bit_common", "evidence/client.sysrq-w.txt"),
        cite(120, "nbd-server", "mempool_alloc", "evidence/client.sysrq-w.txt"),
    ),
    confirm=("killing a worker lets everything run again",),
    remedies=(
        Remedy(text="serve swap from another machine"),
        Remedy(text="the server locks its memory and calls prctl(PR_SET_IO_FLUSHER)"),
    ),
)

UNREACHABLE = Diagnosis(
    hang_class=HangClass.NFS_SERVER_UNREACHABLE,
    confidence=Confidence.HIGH,
    title="the NFS server 192.168.7.2 does not answer",
    explanation="Writers wait for pages under writeback over NFS; the console says that the server does not respond.",
    nodes=(
        Node(name="dd", kind=NodeKind.TASK, label="dd", count=3),
        Node(name="page", kind=NodeKind.PAGE, label="folio under writeback", detail="NFS file /mnt/big"),
        Node(name="rpc", kind=NodeKind.RPC, label="WRITE, hard mount"),
        Node(name="remote", kind=NodeKind.REMOTE, label="192.168.7.2", detail="nfs: server 192.168.7.2 not responding"),
    ),
    edges=(
        Edge(
            waiter="dd",
            awaited="page",
            label="folio_wait_writeback",
            evidence=(cite(77, "dd", "folio_wait_writeback"),),
        ),
        Edge(waiter="page", awaited="rpc", label="written by", sure=False),
        Edge(waiter="rpc", awaited="remote", label="sent to", evidence=(cite(60),)),
    ),
    leaves="at the NFS server 192.168.7.2",
    evidence=(cite(60), cite(77, "dd", "folio_wait_writeback")),
    confirm=("`ss -tni dst 192.168.7.2`: does the send queue grow, are there retransmissions?",),
    remedies=(Remedy(text="mend the server or the network; the client goes on by itself"),),
)

UNKNOWN = Diagnosis(
    hang_class=HangClass.UNKNOWN,
    confidence=Confidence.LOW,
    title="not known why it hung",
    nodes=(Node(name="task", kind=NodeKind.TASK, label="kworker/u8:2 (4711)", detail="in schedule_timeout"),),
    leaves="the text shows no further than this task",
)


def crowd() -> Diagnosis:
    """Fifteen nodes: many tasks wait for one lock, whose holder waits for a journal that waits for a device."""
    tasks = (
        "systemd-journal",
        "sshd",
        "cron",
        "rsyslogd",
        "dpkg",
        "apt-get",
        "containerd-shim-runc-v2",
        "kworker/u16:3",
    )
    nodes = [Node(name=task, kind=NodeKind.TASK, label=task, count=index + 1) for index, task in enumerate(tasks)]
    nodes += [
        Node(name="rwsem", kind=NodeKind.LOCK, label="inode lock (ext4, inode 131074)"),
        Node(name="holder", kind=NodeKind.TASK, label="postgres (812)", detail="holds the inode lock"),
        Node(name="journal", kind=NodeKind.TASK, label="jbd2/sda1-8", detail="commits transaction 99187"),
        Node(name="buffer", kind=NodeKind.PAGE, label="journal buffer under writeback"),
        Node(name="request", kind=NodeKind.REQUEST, label="sda: write of 4096 bytes at sector 18874368"),
        Node(name="work", kind=NodeKind.WORK, label="kblockd: blk_mq_run_work_fn"),
        Node(name="device", kind=NodeKind.DEVICE, label="sda"),
    ]
    edges = [
        Edge(waiter=task, awaited="rwsem", label="down_read in ext4_file_read_iter", evidence=(cite(index),))
        for index, task in enumerate(tasks[:6])
    ]
    edges += [Edge(waiter=task, awaited="journal", label="jbd2_log_wait_commit") for task in tasks[6:]]
    edges += [
        Edge(waiter="rwsem", awaited="holder", label="held by"),
        Edge(waiter="holder", awaited="journal", label="jbd2_log_wait_commit"),
        Edge(waiter="journal", awaited="buffer", label="__wait_on_buffer"),
        Edge(waiter="buffer", awaited="request", label="is written by", sure=False),
        Edge(waiter="request", awaited="work", label="dispatched by", sure=False),
        Edge(waiter="request", awaited="device", label="completed by", sure=False),
    ]
    return Diagnosis(
        hang_class=HangClass.JOURNAL_COMMIT_STUCK,
        confidence=Confidence.MEDIUM,
        title="a journal commit waits for a write that never completes",
        nodes=tuple(nodes),
        edges=tuple(edges),
        leaves="at the device sda",
        evidence=(cite(3, "jbd2/sda1-8", "__wait_on_buffer"),),
    )


def fan(waiting: int = 13) -> Diagnosis:
    """Many tasks wait for a lock, each in a place of its own; its holder waits for it too."""
    tasks = [Node(name=f"task{n}", kind=NodeKind.TASK, label=f"worker-{n} ({4000 + n})") for n in range(waiting)]
    lock = Node(name="lock", kind=NodeKind.LOCK, label="i_rwsem")
    holder = Node(name="holder", kind=NodeKind.TASK, label="rsync (99)")
    edges = [
        Edge(waiter=task.name, awaited="lock", label=f"down_write in do_unlinkat_{n}") for n, task in enumerate(tasks)
    ]
    edges += [
        Edge(waiter="lock", awaited="holder", label="held by"),
        Edge(waiter="holder", awaited="lock", label="down_read"),
    ]
    return Diagnosis(
        hang_class=HangClass.LOCK_HOLDER_WAITS,
        confidence=Confidence.HIGH,
        title="a lock is taken twice",
        nodes=(*tasks, lock, holder),
        edges=tuple(edges),
        cycle=("lock", "holder"),
    )


VARIED = {
    "nfs": LOOPBACK_NFS,
    "nbd": LOOPBACK_NBD,
    "remote": UNREACHABLE,
    "unknown": UNKNOWN,
    "crowd": crowd(),
    "fan": fan(),
}
