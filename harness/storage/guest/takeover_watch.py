#!/usr/bin/env python3
"""Notes when each part of a service arrives on this node, and when nfsd's grace period ends.

Runs on a node of a cluster, independent of what moves the service; standard library only.

usage: takeover_watch.py MARKS MOUNT ADDRESS
MARKS gets a line for each, "<what> <uptime in seconds>": mounted, serving, address, grace-over.
"""

from __future__ import annotations

import sys
import time

POLL_S = 0.05


def text(path: str) -> str:
    """The text of a file of /proc; empty if it does not exist or cannot be read now."""
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def arrived(what: str, mount: str, address: str) -> bool:
    """Whether this part of the service is on this node."""
    if what == "mounted":
        return f" {mount} " in text("/proc/mounts")
    if what == "serving":
        return text("/proc/fs/nfsd/threads").strip() not in ("", "0")
    if what == "address":
        return f" {address}\n" in text("/proc/net/fib_trie")
    return text("/proc/fs/nfsd/v4_end_grace").strip() == "Y"


def main() -> None:
    """Look until all parts have been seen."""
    marks, mount, address = sys.argv[1:4]
    wanted = ["mounted", "serving", "address"]
    while wanted:
        for what in [what for what in wanted if arrived(what, mount, address)]:
            note(marks, what)
            wanted.remove(what)
            if what == "serving":
                wanted.append("grace-over")
        time.sleep(POLL_S)


def note(marks: str, what: str) -> None:
    """Append one line to the marks."""
    with open(marks, "a") as file:
        file.write(f"{what} {time.clock_gettime(time.CLOCK_BOOTTIME):.2f}\n")


if __name__ == "__main__":
    main()
