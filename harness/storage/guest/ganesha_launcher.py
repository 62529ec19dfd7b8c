#!/usr/bin/env python3
"""Starts nfs-ganesha in this very process, protected as a server of the host's own storage has to be.

The state of an IO flusher outlives execve(2), but mlockall(2) does not, so the server's library is called from here
instead (nfs_libmain(), which exists for programs that embed it). Runs on the host under test; standard library only.

usage: ganesha_launcher.py CONFIG LOG PID_FILE [io_flusher] [locked]
"""

from __future__ import annotations

import ctypes
import os
import sys

LIBRARY = "/usr/lib/ganesha/libganesha_nfsd.so"
LEVEL = 4  # NIV_WARN (include/log.h of nfs-ganesha)
MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT = 1, 2, 4
PR_SET_IO_FLUSHER = (
    57  # since 8d19f1c8e193 ("prctl: PR_{G,S}ET_IO_FLUSHER to support controlling memory reclaim"), v5.6
)
LIBC = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> None:
    """Raises OSError where a call failed: a server that only looks protected would prove nothing."""
    if result:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")


def protect(means: set[str]) -> None:
    """Never the OOM killer's; an IO flusher, whose allocations start no I/O; locked in memory as it is used."""
    with open("/proc/self/oom_score_adj", "w") as score:
        score.write("-1000")
    if "io_flusher" in means:
        check(LIBC.prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0), "PR_SET_IO_FLUSHER")
    if "locked" in means:
        check(LIBC.mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT), "mlockall")


def main() -> int:
    """Serve until a signal ends it."""
    config, log, pid_file = sys.argv[1:4]
    with open("/proc/self/comm", "w") as comm:
        comm.write("ganesha.nfsd")  # so that the OOM killer's line, and pkill, name the server
    with open(pid_file, "w") as file:
        file.write(f"{os.getpid()}\n")
    protect(set(sys.argv[4:]))
    server = ctypes.CDLL(LIBRARY, mode=ctypes.RTLD_GLOBAL)
    result: int = server.nfs_libmain(config.encode(), log.encode(), LEVEL)
    return result


if __name__ == "__main__":
    sys.exit(main())
