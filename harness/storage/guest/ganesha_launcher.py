"""Starts nfs-ganesha in this very process, protected as a server of the host's own storage has to be.

The state of an IO flusher outlives execve(2), but mlockall(2) does not, so the server's library is called from here
instead (nfs_libmain(), which exists for programs that embed it). Runs on the host under test; standard library only.

usage: ganesha_launcher CONFIG LOG PID_FILE [io_flusher] [locked]
"""

from __future__ import annotations

import ctypes
import os
import sys

from harness.guest.memory import lock, never_kill, serve_io

LIBRARY = "/usr/lib/ganesha/libganesha_nfsd.so"
LEVEL = 4  # NIV_WARN (include/log.h of nfs-ganesha)


def protect(means: set[str]) -> None:
    """Never the OOM killer's; an IO flusher, whose allocations start no I/O; locked in memory as it is used.

    Raises OSError where the kernel refuses: a server that only looks protected would prove nothing.
    """
    never_kill()
    if "io_flusher" in means:
        serve_io()
    if "locked" in means:
        lock(as_used=True)


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
