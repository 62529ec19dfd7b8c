"""Processes that a run started: found by their program and the run's folder in their command line, ended by pid.

A pid alone is no proof, since pids are reused. So a process is ended only if its executable is the one noted before its
start, an argument names the noted path below the run's folder, and it belongs to the owner of that folder.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath

import psutil

from harness.model.clock import SYSTEM_CLOCK, Clock, Deadline
from harness.model.errors import InfraError
from harness.model.obligation import Obligation
from harness.state.locks import read_record
from harness.state.obligations import meet
from harness.state.state import OWNER

PROCESS = "process"
TERMINATE_SECONDS = 3.0
KILL_SECONDS = 10.0
_ROUNDS = 3


def process_owed(run: Path, provider: str, program: str, below: str) -> Obligation:
    """The obligation to end a process of the run at `run`.

    `program` is its executable, searched for in PATH. `below` is a path relative to the run's folder, which the command
    line will name.
    """
    executable = Path(shutil.which(program) or program).resolve()
    return Obligation(run=run, provider=provider, kind=PROCESS, fields={"program": str(executable), "below": below})


def meet_if_ended(obligation: Obligation) -> None:
    """Note that the obligation of `process_owed` is met, unless such a process still runs."""
    if not owed_processes(obligation):
        meet(obligation)


def end_owed(obligation: Obligation, clock: Clock = SYSTEM_CLOCK) -> list[str]:
    """End the processes of an obligation of `process_owed`; one line for each.

    There may be none, if they were never started or ended by themselves. Raises InfraError if one does not end.
    """
    ended: list[str] = []
    for _ in range(_ROUNDS):  # a process may have started another one while it was being ended
        found = owed_processes(obligation)
        rest = end(found, clock)
        ended += [f"ended {_title(process)}" for process in found if process not in rest]
        if rest:
            raise InfraError(f"{_title(rest[0])} does not end")
        if not found:
            break
    return ended


def owed_processes(obligation: Obligation) -> list[psutil.Process]:
    """The processes of an obligation of `process_owed`."""
    program, below = obligation.fields["program"], PurePosixPath(obligation.fields["below"])
    if below.is_absolute() or ".." in below.parts:
        raise InfraError(f"{below} is no path below {obligation.run}")
    user = obligation.run.stat().st_uid
    named = {str(spelling / below) for spelling in _spellings(obligation.run)}
    found = []
    for process in psutil.process_iter(["exe", "cmdline", "uids"]):
        argv, executable, owner = (process.info[key] for key in ("cmdline", "exe", "uids"))
        if not argv or executable != program or owner is None or owner.real != user or process.pid == os.getpid():
            continue
        if any(mentions(argv, path) for path in named):
            found.append(process)
    return found


def mentions(argv: Sequence[str], path: str) -> bool:
    """Whether an argument names `path` or something below it; `/s/r/ab` is not in `/s/r/abc` nor in `/x/s/r/ab`."""
    pattern = re.compile(r"(?<![\w./-])" + re.escape(path) + r"""(?=$|[/,;:=)\]}"'\s])""")
    return any(pattern.search(argument) for argument in argv)


def _spellings(run: Path) -> Collection[Path]:
    """Ways to write a run's folder: ours, the run's own, and without symbolic links."""
    spellings = {run, run.resolve()}
    recorded = read_record(run / OWNER).get("path")
    # In a copy of a state folder the record leads to the original, which may be alive.
    with suppress(OSError):
        if isinstance(recorded, str) and Path(recorded).samefile(run):
            spellings.add(Path(recorded))
    return spellings


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
    """Whether a process still has anything open. A zombie does not, even if nobody collects it.

    But the first thread of a process is a zombie as soon as it ends, while other threads still hold locks and files.
    """
    try:
        return process.is_running() and (process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1)
    except psutil.Error:
        return False


def _title(process: psutil.Process) -> str:
    executable = process.info.get("exe") or "?"
    return f"{Path(executable).name}, pid {process.pid}"
