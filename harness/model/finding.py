"""Findings on a kernel console."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Self

from harness.model.events.payload import Kind, Payload, Recorded, number, optional_text, text, texts, whole


class FindingKind(StrEnum):
    """Kinds of console finding; docs/scan.md says what each is."""

    HUNG_TASK = "hung_task"
    SOFT_LOCKUP = "soft_lockup"
    HARD_LOCKUP = "hard_lockup"
    RCU_STALL = "rcu_stall"
    WORKQUEUE_LOCKUP = "workqueue_lockup"
    PANIC = "panic"
    OOPS = "oops"
    SANITIZER = "sanitizer"
    WARNING = "warning"
    LOCKDEP = "lockdep"
    ATOMIC_SLEEP = "atomic_sleep"
    MEMORY_LEAK = "memory_leak"
    OOM_KILL = "oom_kill"
    PAGE_ALLOC_FAILURE = "page_alloc_failure"
    STORAGE_TIMEOUT = "storage_timeout"
    IO_ERROR = "io_error"
    REBOOT = "reboot"


class NoticeKind(StrEnum):
    """Kinds of single lines about storage or memory."""

    NFS_SILENT = "NFS server does not respond"
    NFS_BACK = "NFS server responds again"
    NFSD_HERE = "an NFS server runs on this host"
    BLOCK_STUCK = "block request is stuck"
    BLOCK_ERROR = "block device fails"
    LINK_DOWN = "connection to the storage is lost"
    SWAP = "swap device"
    DROP_CACHES = "drop_caches"
    MEMORY_LOW = "memory is below its minimum"
    SELF_CONNECTED = "a connection of this host to itself"


CRASHES = frozenset({FindingKind.PANIC, FindingKind.OOPS, FindingKind.SANITIZER})
LOCKUPS = frozenset({FindingKind.SOFT_LOCKUP, FindingKind.HARD_LOCKUP, FindingKind.RCU_STALL})
_KINDS = frozenset(kind.value for kind in FindingKind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding(Payload):
    """One report of the kernel on its console.

    `function` is the first frame that shows the resource waited for, or the place that broke. `time_s` is the kernel's
    own time stamp in seconds, `line` the 1-based line of the report's headline, `stack` function names, innermost
    first. `corrupted`: the report is truncated or interleaved beyond trust. `kind` may be a word of a newer version if
    it comes from a history.
    """

    event_kind: ClassVar[Kind] = Kind.CONSOLE

    kind: FindingKind | str
    title: str
    line: int
    function: str | None = None
    task: str | None = None
    pid: int | None = None
    cpu: int | None = None
    time_s: float | None = None
    corrupted: bool = False
    stack: tuple[str, ...] = ()

    @classmethod
    def from_event(cls, event: Recorded) -> Self:
        """See `Payload.from_event`."""
        data = event.data
        kind = text(data.get("kind"))
        return cls(
            kind=FindingKind(kind) if kind in _KINDS else kind,
            title=text(data.get("title")),
            line=whole(data.get("line")) or 0,
            function=optional_text(data.get("function")),
            task=optional_text(data.get("task")),
            pid=whole(data.get("pid")),
            cpu=whole(data.get("cpu")),
            time_s=number(data.get("time_s")),
            corrupted=bool(data.get("corrupted")),
            stack=texts(data.get("stack")),
        )
