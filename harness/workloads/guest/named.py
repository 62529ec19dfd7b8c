"""Runs several processes of a load generator side by side, and counts the operations of each.

Runs on the host under test; standard library only. Progress goes through a shared file whose layout docs/agent.md
gives. Each process of the tool has its own slot, so one that waits does not hide the progress of others. One operation
is a page of 4 KiB:
  fio        read, written or trimmed, as fio itself reports it once a second (--status-interval, JSON)
  stress-ng  faulted in, or read or written with a system call, as the kernel counts it for the processes of that
             stress-ng (/proc/PID/stat, /proc/PID/io): it reports its own bogus operations only at its end

usage: named.py PROGRESS WORKERS TOOL ARGUMENT...
"{}" in an argument becomes the number of the worker. At the end it prints how many operations were done in how many
seconds, and the tool's own count.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import subprocess
import sys
import time

from harness.guest.processes import fork_all, rename
from harness.guest.progress import FAILED, FINISHED, PAGE, RUNNING, ProgressFile, Slot, sum_up

TYPE_CHECKING = False  # what type checkers take for true; nothing is imported for it on the host
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import IO

    Report = Callable[[int], None]  # bytes so far

LOOK_S = 0.5


def documents(stream: IO[str]) -> Iterator[dict[str, object]]:
    """The consecutive JSON documents of a stream, each from a line "{" to a line "}"."""
    lines: list[str] = []
    for line in stream:
        if line.rstrip() == "{":
            lines = []
        lines.append(line)
        if line.rstrip() == "}":
            with contextlib.suppress(ValueError):  # skip a document with other output in between
                yield json.loads("".join(lines))
            lines = []


def moved_by_fio(document: dict[str, object]) -> int:
    """Bytes moved by all jobs of one report."""
    jobs = document.get("jobs")
    return (
        sum(job[way]["io_bytes"] for job in jobs for way in ("read", "write", "trim")) if isinstance(jobs, list) else 0
    )


def watch_fio(process: subprocess.Popen[str], report: Report) -> None:
    """Count the bytes that fio reports, until it ends."""
    assert process.stdout is not None
    for document in documents(process.stdout):
        report(moved_by_fio(document))


def children_of(pid: int) -> list[int]:
    """A process and all its descendants."""
    found = [pid]
    for parent in found:
        with contextlib.suppress(OSError), open(f"/proc/{parent}/task/{parent}/children") as children:
            found += [int(word) for word in children.read().split()]
    return found


def moved_by(pid: int) -> int:
    """Bytes that a process and its ended children faulted in, or read or wrote by system calls."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        with open(f"/proc/{pid}/io") as io:
            reported = dict(line.split(": ") for line in io.read().splitlines())
    except OSError:
        return 0  # it has ended
    faults = sum(int(field) for field in fields[7:11])  # minflt, cminflt, majflt, cmajflt
    return faults * PAGE + int(reported["rchar"]) + int(reported["wchar"])


def watch_stressor(process: subprocess.Popen[str], report: Report) -> None:
    """Count the kernel's figures of stress-ng's processes, until it ends."""
    known: dict[int, int] = {}
    while process.poll() is None:
        for pid in children_of(process.pid):
            known[pid] = max(known.get(pid, 0), moved_by(pid))
        report(sum(known.values()))
        time.sleep(LOOK_S)


WATCHERS = {"fio": watch_fio, "stress-ng": watch_stressor}


def work(slot: Slot, worker: int, command: list[str]) -> bool:
    """Run one process of the tool to its end; returns whether it succeeded."""

    def report(moved: int) -> None:
        most = max(slot.moved, moved)
        slot.count(most // PAGE, most)

    words = [word.replace("{}", str(worker)) for word in command]
    tool = os.path.basename(command[0])
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=2, text=True) as process:
        slot.show(RUNNING, process.pid)
        WATCHERS[tool](process, report)
    good = process.returncode == 0
    slot.show(FINISHED if good else FAILED)
    if not good:
        print(f"worker {worker}: {' '.join(words)} ended with status {process.returncode}", flush=True)
    return good


def bogus_operations(command: list[str], workers: int) -> int:
    """The stressors' own counts, from the files given with --yaml."""
    total = 0
    for name in (new for old, new in itertools.pairwise(command) if old == "--yaml"):
        for worker in range(workers):
            with contextlib.suppress(OSError), open(name.replace("{}", str(worker))) as file:
                total += sum(int(count) for count in re.findall(r"^ *bogo-ops: (\d+)$", file.read(), re.MULTILINE))
    return total


def main() -> int:
    """Start the workers and wait for them; exit code 0 if every one succeeded."""
    workers, command = int(sys.argv[2]), sys.argv[3:]
    progress = ProgressFile(sys.argv[1], workers)
    rename("named")
    progress.announce()
    begun = time.monotonic()
    good = fork_all(workers, lambda worker: work(progress.slot(worker), worker, command))
    sum_up(progress.total(), begun)
    print(f"{bogus_operations(command, workers)} bogus operations", flush=True)
    return 0 if good else 1
