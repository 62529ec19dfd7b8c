"""Processes that belong to a run: found by the run's folder in their command line, ended by pid."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path

import psutil

from harness.model.clock import Clock, Deadline

TERMINATE_SECONDS = 3.0
KILL_SECONDS = 10.0
# Whatever else has the path in its command line (an editor, a pager, a shell) is the user's own.
_PROGRAMS = ("qemu-system-*", "qemu-kvm", "vde_switch", "vde_plug")
_PYTHON = "python*"
_PYTHON_MODULES = ("harness.drivers.", "harness.guests.", "harness.monitors.")


def mentions(argv: Sequence[str], path: str) -> bool:
    """Whether an argument names `path` or something below it; `/s/r/ab` is not in `/s/r/abc` nor in `/x/s/r/ab`."""
    pattern = re.compile(r"(?<![\w./-])" + re.escape(path) + r"""(?=$|[/,;:=)\]}"'\s])""")
    return any(pattern.search(argument) for argument in argv)


def is_helper(executable: str, argv: Sequence[str]) -> bool:
    """Whether the program at `executable` is one that the harness starts."""
    name = Path(executable).name
    if any(fnmatch(name, program) for program in _PROGRAMS):
        return True
    return fnmatch(name, _PYTHON) and _module(argv).startswith(_PYTHON_MODULES)


def _module(argv: Sequence[str]) -> str:
    index = argv.index("-m") + 1 if "-m" in argv else len(argv)
    return argv[index] if index < len(argv) else ""


def helpers_of(paths: Collection[str], uids: Collection[int]) -> list[psutil.Process]:
    """Processes of users `uids` that the harness started for a run; `paths` are the spellings of its folder."""
    found = []
    for process in psutil.process_iter(["exe", "cmdline", "uids"]):
        argv, executable, owner = (process.info[key] for key in ("cmdline", "exe", "uids"))
        if not argv or not executable or owner is None or owner.real not in uids or process.pid == os.getpid():
            continue
        if is_helper(executable, argv) and any(mentions(argv, path) for path in paths):
            found.append(process)
    return found


def end(processes: Sequence[psutil.Process], clock: Clock) -> list[psutil.Process]:
    """Terminate, then kill; returns those that still run. psutil compares start times: a reused pid is left alone."""
    for process in processes:
        with suppress(psutil.Error):
            process.terminate()
    rest = _wait(processes, Deadline.after(TERMINATE_SECONDS, clock))
    for process in rest:
        with suppress(psutil.Error):
            process.kill()
    return _wait(rest, Deadline.after(KILL_SECONDS, clock))


def _wait(processes: Sequence[psutil.Process], deadline: Deadline) -> list[psutil.Process]:
    while rest := [process for process in processes if runs(process)]:
        if deadline.passed:
            break
        deadline.clock.sleep(0.05)
    return rest


def runs(process: psutil.Process) -> bool:
    """Whether a process still has something open. A zombie has not; that nobody collects it is no concern of ours.

    But the first thread of a process is a zombie as soon as it ends, while others of it still hold locks and files.
    """
    try:
        return process.is_running() and (process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1)
    except psutil.Error:
        return False
