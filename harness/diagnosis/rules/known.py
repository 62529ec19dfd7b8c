"""Known remedies: of a class of hang, and of known bugs that leave a certain function on a stack.

Each commit was looked up, none is cited from memory. A kernel older than the commit may have the bug; a newer one may
have another bug with the same stack.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.diagnosis.graph.hang_model import Case
from harness.diagnosis.read.facts import StallKind
from harness.model.hang_classes import HANG_CLASSES, HangClass, Remedy

__all__ = ["remedies_of"]

_BY_FRAME: tuple[tuple[str, str, Remedy], ...] = (
    ("callback", r"nfsd4_shutdown_callback$", Remedy(
        text="a known bug leaves this stack (a callback that never ends); a later report says that it is not the "
        "whole cure",
        commit='036ac2778f7b ("NFSD: fix hang in nfsd4_shutdown_callback")')),
    ("driver:dm_integrity", r"wait_and_add_new_range$", Remedy(
        text="a known bug leaves this stack: a deadlock of overlapping I/O",
        commit='4ed319c6ac08 ("dm integrity: fix deadlock with overlapping I/O")')),
    ("memory", r"xfs_buf_alloc_pages$", Remedy(
        text="a known bug leaves this stack: the bulk allocator returned without a page and did not wake kswapd",
        commit='c572e4888ad1 ("mm/page_alloc: always attempt to allocate at least one page during bulk allocation"), '
        'v5.19')),
    ("in:iscsit_free_session", r"iscsit_free_session$", Remedy(
        text="a known bug leaves this stack: two threads end the same session and one is never woken",
        commit='e49a7d994379 ("scsi: target: fix hang when multiple threads try to destroy the same iscsi session")')),
    ("nfs-init", r"nfs_wait_client_init_complete$", Remedy(
        text="a mount of a dead server no longer holds up the mounts of others",
        commit='dd99e9f98fbf ("NFSv4: Initialise connection to the server in nfs4_alloc_client()")')),
    ("nfs-request", r"(?:filemap_write_and_wait_range|nfs_file_fsync|nfs_wb_all)$", Remedy(
        text="a known bug leaves this stack: write requests are leaked, and their pages stay under writeback",
        commit='f57dcf4c7211 ("NFS: Fix I/O request leakages")')),
    ("lock:shrinker_rwsem", r"", Remedy(
        text="registering a shrinker no longer waits for reclaim",
        commit='ca1d36b82394 ("mm: shrinker: make global slab shrink lockless"), v6.7')),
    ("stall", r"nfsd_file_(?:acquire|mark_find_or_create)$", Remedy(
        text="a known bug leaves this stack: a race for a lock that is won for ever",
        commit='90d2f1da832f ("nfsd: Fix a soft lockup race in nfsd_file_mark_find_or_create()")')),
    ("pool", r"blk_mq_run_work_fn$", Remedy(
        text="a known bug of dispatch to a very fast device, which goes on without an end",
        commit='572299f03afd ("block: limit request dispatch loop duration"), v5.18')),
)  # fmt: skip
"""The awaited resource ("stall" or "pool" if nothing waits), a function near the top of the stack, the remedy."""
_NEAR = 12
"""Frames from the top that are compared."""
_FRAMES = tuple((key, re.compile(pattern), remedy) for key, pattern, remedy in _BY_FRAME)


def remedies_of(hang_class: HangClass, case: Case) -> tuple[Remedy, ...]:
    """The known remedies: first those of these stacks, then those of the class; no commit twice."""
    seen = {(key, name) for key, names in _tops(case) for name in names}
    found = [remedy for key, pattern, remedy in _FRAMES if any(key == at and pattern.match(name) for at, name in seen)]
    known = {remedy.commit[:12] for remedy in found}
    return (*found, *(remedy for remedy in HANG_CLASSES[hang_class].remedies if remedy.commit[:12] not in known))


def _tops(case: Case) -> Iterator[tuple[str, list[str]]]:
    """The awaited resource and the functions near the top of the stack, of every group, stall and stuck pool."""
    for group in case.waiting:
        if group.wait is not None:
            yield group.wait.key, [step.name for step in group.first.path[:_NEAR]]
    for stall in case.facts.stalls:
        if stall.kind is not StallKind.POOL:
            yield "stall", [step.name for step in stall.steps if step.sure][:_NEAR]
    if any(stall.kind is StallKind.POOL for stall in case.facts.stalls):
        for queue in case.facts.workqueues:
            yield "pool", list(queue.flying.values())[:_NEAR]
