"""What keeps a process going while memory is short. Each raises OSError where the kernel refuses it."""

from __future__ import annotations

import ctypes
import os

TYPE_CHECKING = False  # what type checkers take for true; nothing is imported for it on the host
if TYPE_CHECKING:
    import mmap
    from collections.abc import Callable

MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT = 1, 2, 4
# include/uapi/linux/prctl.h; 8d19f1c8e193 ("prctl: PR_{G,S}ET_IO_FLUSHER to support controlling memory reclaim"), v5.6
PR_SET_IO_FLUSHER = 57
LIBC = ctypes.CDLL(None, use_errno=True)


def as_far_as_possible(*steps: Callable[[], None]) -> None:
    """Take steps that are a help and no need: what the kernel refuses is printed."""
    for step in steps:
        try:
            step()
        except OSError as error:
            print(error, flush=True)


def lock(*, as_used: bool = False) -> None:
    """Keep this process in memory, with all that it will map; or of that, each page once it has been used."""
    _check("mlockall", LIBC.mlockall(MCL_CURRENT | MCL_FUTURE | (MCL_ONFAULT if as_used else 0)))


def lock_area(area: mmap.mmap) -> None:
    """Keep a mapping in memory."""
    address = ctypes.addressof(ctypes.c_char.from_buffer(area))
    _check("mlock", LIBC.mlock(ctypes.c_void_p(address), ctypes.c_size_t(len(area))))


def serve_io() -> None:
    """Say that this process serves I/O: what the kernel allocates for it never waits for writeback."""
    _check("PR_SET_IO_FLUSHER", LIBC.prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0))


def never_kill() -> None:
    """Leave the OOM killer other processes than this."""
    with open("/proc/self/oom_score_adj", "w") as score:
        score.write("-1000")


def _check(what: str, result: int) -> None:
    if result:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")
