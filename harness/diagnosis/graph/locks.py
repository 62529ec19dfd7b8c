"""Locks and other resources that tasks hold: the functions that take them, and the functions that hold them."""

from __future__ import annotations

from collections.abc import Sequence

from harness.diagnosis.read.facts import Step
from harness.diagnosis.read.names import any_of

__all__ = ["held_in", "lock_named"]

_PERCPU_READ = any_of(r"_*percpu_down_read percpu_rwsem_wait")
_BEGINS_A_WRITE = any_of(r"""
    vfs_(?:write|writev|iter_write|fallocate|copy_file_range|clone_file_range)$ do_(?:iter_write|sendfile|splice)$
    do_clone_file_range do_splice_direct\w* aio_write io_(?:write|fallocate)$ kiocb_start_write file_start_write
    \w+_page_mkwrite$ _*xfs_\w*fault$ xfs_trans_alloc\w* gfs2_trans_begin start_transaction$ (?:ext4|f2fs)_evict_inode
""")
"""Functions into which the compiler inlines `sb_start_write` and its like, their only lock of that kind."""

_LOCKS: tuple[tuple[str, bool, str, str], ...] = (
    ("nfsd_mutex", True,
     r"""
         write_(?:versions|threads|ports|pool_threads|leasetime|gracetime|recoverydir|maxblksize)$
         _*write_(?:versions|ports)
         nfsd_(?:svc|nrthreads|nl_|pool_stats|vers|startup|create_serv|set_nrthreads|get_nrthreads|destroy_serv)
     """,
     r"""
         nfsd_(?:svc|shutdown_(?:net|generic|threads)|last_thread|startup_\w+|put|destroy_serv|set_nrthreads)$
         nfs4_state_(?:shutdown|start)
     """),
    # Taken for reading by every shrink_slab until ca1d36b82394, v6.7.
    ("shrinker_rwsem", True,
     r"""
         _*(?:un)?register_shrinker _*prealloc_shrinker free_prealloced_shrinker
         (?:alloc|free|expand)_(?:memcg_)?shrinker_(?:info|maps) memcg_alloc_shrinker
     """,
     r"""
         shrink_slab do_shrink_slab drop_slab
     """),
    ("rtnl_mutex", True,
     r"""
         rtnl_lock rtnetlink_rcv register_netdev\b dev_ioctl netdev_run_todo
     """,
     r"""
         rtnetlink_rcv_msg unregister_netdevice
     """),
    ("cgroup_mutex", True,
     r"""
         cgroup_(?:kn_lock|mkdir|rmdir|lock|attach|apply) cpuset_
     """,
     r"""
         cgroup_apply_control css_create cgroup_destroy_locked
     """),
    ("wc_lock", True,
     r"""
         writecache_(?:map|flush|suspend|writeback|message)
     """,
     r"""
         writecache_(?:flush|commit_flushed|discard|writeback)$
     """),
    ("s_sync_lock", False,
     r"""
         sync_inodes_sb wait_sb_inodes
     """,
     r"""
         sync_inodes_sb wait_sb_inodes
     """),
    ("s_umount", False,
     r"""
         grab_super super_lock lock_super trylock_super iterate_supers get_super super_cache_scan deactivate_super
         do_remount user_get_super sget
     """,
     r"""
         iterate_supers deactivate_locked_super generic_shutdown_super cleanup_mnt super_cache_scan do_remount_sb
         reconfigure_super
     """),
    ("freeze protection", False,
     r"""
         _*sb_start_\w+ mnt_want_write file_start_write freeze_super thaw_super
     """,
     r"""
         freeze_super
     """),
    ("XFS buffer lock", False,
     r"""
         xfs_buf_(?:lock|lookup|find|get_map|find_lock) _xfs_buf_find
     """,
     ""),
    ("XFS inode lock", False,
     r"""
         xfs_ilock xfs_lock_two xfs_file_(?:iomap|read|write)
     """,
     ""),
    ("bd_mutex", False,
     r"""
         _*blkdev_(?:get|put|open|close) bdev_(?:open|release|disk) _*bd_
     """,
     r"""
         _*blkdev_(?:get|put) bdev_(?:open|release)
     """),
    ("reconfig_mutex", False,
     r"""
         mddev_lock md_(?:ioctl|attr|check_recovery) rdev_attr suspend_\w+_store
     """,
     r"""
         md_check_recovery action_store md_set_readonly
     """),
    ("inode lock", False,
     r"""
         (?:ext4|xfs|btrfs|generic|nfs|f2fs|ceph|fuse|blkdev)_\w*(?:write|fsync|direct|dio|fallocate|setattr)\w*
         nfs_start_io do_truncate lock_rename vfs_fallocate path_openat open_last_lookups do_unlinkat do_rmdir
         filename_create walk_component _*lookup_slow iterate_dir do_last inode_lock ext4_sync_file chmod_common
         chown_common notify_change
     """,
     r"""
         (?:ext4|xfs|btrfs|generic|nfs|f2fs)_(?:buffered_write_iter|file_buffered_write|file_write_iter|buffered_write|file_write|dio_write_iter|file_dio_write\w*)
         do_truncate do_unlinkat vfs_(?:rmdir|unlink|rename|mkdir|create) iterate_dir notify_change
     """),
)  # fmt: skip
"""Name, whether the system has only one, functions that wait for it, functions in which it is held."""
_OTHERS: tuple[tuple[str, str], ...] = (
    ("nfs-init", r"nfs4?1?_init_client|nfs_create_rpc_client|nfs4_alloc_client|nfs4_discover_server_trunking"),
    ("superblock", r"md_update_sb|md_super_wait|submit_flushes"),
    ("journal", r"jbd2_journal_commit_transaction"),
    ("xfs-log", r"xlog_cil_push_work|xlog_write|xlog_state_release_iclog|xfsaild"),
    ("btrfs-commit", r"btrfs_commit_transaction|transaction_kthread|btrfs_write_and_wait_transaction"),
    ("flusher", r"wb_workfn|wb_do_writeback|wb_writeback"),
    ("automount", r"nfs4?_try_(?:mount|get_tree)|nfs_(?:fs_)?mount|nfs4_create_server"),
)  # fmt: skip
"""Other resources, and the functions in which a task holds them."""
_TABLE = tuple((n, one, any_of(w), any_of(h) if h else None) for n, one, w, h in _LOCKS)
_HELD = tuple((name, any_of(pattern)) for name, pattern in _OTHERS)


def lock_named(names: Sequence[str], function: str) -> tuple[str, bool]:
    """The lock that `function` waits for, and whether the system has only one; ("", False) if not known.

    `names` is the stack, innermost frame first; the frames before the function are the lock's primitives.
    """
    above = names[: names.index(function)] if function in names else names
    if _BEGINS_A_WRITE.match(function) and any(_PERCPU_READ.match(name) for name in above):
        return "freeze protection", False
    for name, only, waiting, _ in _TABLE:
        if waiting.match(function):
            return name, only
    return "", False


def held_in(path: Sequence[Step]) -> dict[str, Step]:
    """The resources that a task with this stack holds, each with the frame that shows it; spelt as in waits."""
    found: dict[str, Step] = {}
    for step in path:
        for name, _, _, holding in _TABLE:
            if holding is not None and holding.match(step.name):
                found.setdefault(f"lock:{name}", step)
        for name, pattern in _HELD:
            if pattern.match(step.name):
                found.setdefault(name, step)
    return found
