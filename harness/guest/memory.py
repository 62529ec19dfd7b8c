"""Protection of a process against memory shortage. Each function raises OSError if the kernel refuses."""

from __future__ import annotations

import ctypes
import os

TYPE_CHECKING = False  # type checkers take this as true; on the host nothing is imported
if TYPE_CHECKING:
    import mmap
    from collections.abc import Callable

MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT = 1, 2, 4
# include/uapi/linux/prctl.h; 8d19f1c8e193 ("prctl: PR_{G,S}ET_IO_FLUSHER to support controlling memory reclaim"), v5.6
PR_SET_IO_FLUSHER = 57
LIBC = ctypes.CDLL(None, use_errno=True)


def as_far_as_possible(*steps: Callable[[], None]) -> None:
    """Take steps that help but are not required; prints those that the kernel refuses."""
    for step in steps:
        try:
            step()
        except OSError as error:
            print(error, flush=True)


def lock(*, as_used: bool = False) -> None:
    """Lock all memory of this process, present and future; with `as_used`, each page only once it is used."""
    _check("mlockall", LIBC.mlockall(MCL_CURRENT | MCL_FUTURE | (MCL_ONFAULT if as_used else 0)))


def lock_area(area: mmap.mmap) -> None:
    """Lock a mapping in memory."""
    address = ctypes.addressof(ctypes.c_char.from_buffer(area))
    _check("mlock", LIBC.mlock(ctypes.c_void_p(address), ctypes.c_size_t(len(area))))


def serve_io() -> None:
    """Declare that this process serves I/O: its allocations in the kernel then never wait for writeback."""
    _check("PR_SET_IO_FLUSHER", LIBC.prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0))


def never_kill() -> None:
    """Exempt this process from the OOM killer."""
    with open("/proc/self/oom_score_adj", "w") as score:
        score.write("-1000")


def _check(what: str, result: int) -> None:
    if result:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")
