"""Traits of a stack beyond the wait on top: in reclaim, in a swap-out, in the NFS client, in a send."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum

from harness.diagnosis.read.facts import Step
from harness.diagnosis.read.names import any_of
from harness.model.storage_protocols import NFS, PROTOCOLS

__all__ = ["Trait", "first_with", "traits_of"]


class Trait(StrEnum):
    """Facts about a task that a frame of its stack shows."""

    RECLAIM = "frees memory"
    MEMCG = "charges memory to a control group"
    ALLOC = "allocates memory"
    SWAP_OUT = "writes to swap"
    SWAP_IN = "reads from swap"
    WRITEBACK = "writes dirty pages back"
    NFS = "is in the NFS client"
    NFSD = "is in the NFS server"
    HANDLE = "has a journal handle open"
    STORAGE_SEND = "sends a request to network storage"
    LOOP = "is in the loop driver"


_PATTERNS: dict[Trait, re.Pattern[str]] = {
    Trait.RECLAIM: any_of(r"""
        (?:_*do_)?shrink_\w+ do_try_to_free_pages _*try_to_free_(?:mem_cgroup_)?pages balance_pgdat kswapd$ drop_slab
        _*alloc_pages_direct_reclaim _*(?:node|zone)_reclaim evict_folios try_to_shrink_lruvec do_shrinker
    """),
    Trait.MEMCG: any_of(r"""
        _*try_to_free_mem_cgroup_pages
        _*mem_cgroup_(?:reclaim|try_charge|charge|do_charge|oom|handle_over_high|resize|force_empty)
        try_charge(?:_memcg)?$ charge_memcg reclaim_high memory_(?:max|high|reclaim)\w*write obj_cgroup_charge
        _*memcg_kmem\w*charge
    """),
    Trait.ALLOC: any_of(r"""
        _*alloc_pages alloc_pages mempool_alloc _*kmem_cache_alloc _*kmalloc _*slab_alloc _*folio_alloc _*alloc_skb
        _*vmalloc (?:sk_|skb_)page_frag_refill bio_alloc kmem_(?:zone_)?alloc vma_alloc new_slab allocate_slab
        xfs_buf_alloc_pages
    """),
    Trait.SWAP_OUT: any_of(r"""
        _*swap_writepage swap_write_unplug zswap_writeback_entry swap_writeout shmem_writeout bdev_write_page
    """),
    Trait.SWAP_IN: any_of(r"""
        do_swap_page swapin_ _*swap_read read_swap_cache swap_cluster_readahead shmem_swapin swap_vma_readahead
    """),
    Trait.WRITEBACK: any_of(r"""
        do_writepages write_cache_pages (?!nfs_wb|_*swap_|shmem_)\w+_writepages?$ writeback_sb_inodes wb_workfn
        wb_writeback _*filemap_fdatawrite
    """),
    Trait.NFS: any_of(r"""
        _*nfs[34]?\d{0,2}_(?!laundromat|state_shutdown|state_start|process_client|get_vfs|check_open|preprocess)\w+
    """),
    Trait.NFSD: any_of(r"""
        _*nfsd\d?(?:_|$) svc_process nfs4_(?:laundromat|state_shutdown|state_start|process_client) nfsctl_ nfssvc_
    """),
    Trait.HANDLE: any_of(r"""
        (?:_*ext4_)?_*(?:jbd2_)?journal_(?:get_(?:write|create|undo)_access|dirty_metadata) do_get_write_access
        _*ext4_handle_dirty _*ext4_mark_(?:inode_dirty|iloc_dirty) ext4_reserve_inode_write ext4_do_update_inode
        ext4_ext_insert_extent ext4_mb_new_blocks ext4_free_blocks ext4_orphan_add ext4_add_(?:entry|nondir)
        ext4_ext_(?:truncate|remove_space) ocfs2_journal_access
    """),
    Trait.STORAGE_SEND: any_of(" ".join(protocol.senders for protocol in PROTOCOLS)),
    Trait.LOOP: any_of(r"""
        loop_(?:process|queue|handle|rootcg|work)\w* lo_(?:rw|write|read|req)_\w+ do_req_filebacked
    """),
}  # fmt: skip
_MODULES = {
    **dict.fromkeys(NFS.client_modules, Trait.NFS),
    **dict.fromkeys(NFS.server_modules, Trait.NFSD),
    "loop": Trait.LOOP,
}


def traits_of(path: Sequence[Step]) -> frozenset[Trait]:
    """All traits that the frames of a stack show."""
    found = {trait for step in path for trait in _of_step(step)}
    if Trait.NFSD in found and not any(step.module.startswith("nfs") and step.module != "nfsd" for step in path):
        found.discard(Trait.NFS)  # a kernel without modules: functions of the server begin like those of the client
    return frozenset(found)


def first_with(path: Iterable[Step], *traits: Trait) -> Step | None:
    """The innermost frame that shows one of `traits`."""
    return next((step for step in path if any(_says(step, trait) for trait in traits)), None)


def _of_step(step: Step) -> set[Trait]:
    return {trait for trait in Trait if _says(step, trait)}


def _says(step: Step, trait: Trait) -> bool:
    if trait is Trait.NFS and step.module == "nfsd":
        return False
    return _MODULES.get(step.module) is trait or _PATTERNS[trait].match(step.name) is not None
