"""Runs nfs-ganesha in this process, protected as an IO flusher and locked in memory if asked.

The IO flusher state survives execve(2), but mlockall(2) does not. So this script calls the server's library instead
(nfs_libmain(), made for programs that embed it). Runs on the host under test; standard library only.

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
    """Exempt this process from the OOM killer; make it an IO flusher and lock its memory as it is used, if asked.

    Raises OSError if the kernel refuses: a server without its protection would prove nothing.
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
        comm.write("ganesha.nfsd")  # the name for the OOM killer's line, and for pkill
    with open(pid_file, "w") as file:
        file.write(f"{os.getpid()}\n")
    protect(set(sys.argv[4:]))
    server = ctypes.CDLL(LIBRARY, mode=ctypes.RTLD_GLOBAL)
    result: int = server.nfs_libmain(config.encode(), log.encode(), LEVEL)
    return result
