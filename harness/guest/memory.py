"""What keeps a script going while memory is short. Where the kernel refuses, that is printed and does no harm."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os

MCL_CURRENT, MCL_FUTURE = 1, 2
PR_SET_IO_FLUSHER = 57  # include/uapi/linux/prctl.h, since v5.6
LIBC = ctypes.CDLL(None, use_errno=True)


def lock() -> None:
    """Keep this process in memory, with all that it will map."""
    _check("mlockall", LIBC.mlockall(MCL_CURRENT | MCL_FUTURE))


def lock_area(area: mmap.mmap) -> None:
    """Keep a mapping in memory."""
    address = ctypes.addressof(ctypes.c_char.from_buffer(area))
    _check("mlock", LIBC.mlock(ctypes.c_void_p(address), ctypes.c_size_t(len(area))))


def serve_io() -> None:
    """Say that this process serves I/O: what the kernel allocates for it never waits for writeback."""
    _check("PR_SET_IO_FLUSHER", LIBC.prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0))


def never_kill() -> None:
    """Leave the OOM killer other processes than this."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write("-1000")


def _check(what: str, result: int) -> None:
    if result:
        print(f"{what}: {os.strerror(ctypes.get_errno())}", flush=True)
