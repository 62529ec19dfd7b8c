"""Processes of a script: their names, how they start and how they are waited for."""

from __future__ import annotations

import os

TYPE_CHECKING = False  # type checkers take this as true; on the host nothing is imported
if TYPE_CHECKING:
    from collections.abc import Callable


def rename(name: str) -> None:
    """Name this process, and those that it forks, so that the OOM killer's line names them."""
    with open("/proc/self/comm", "w") as comm:
        comm.write(name)


def lead() -> None:
    """Put this process into a process group of its own."""
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)


def reported(name: str, work: Callable[[], object]) -> bool:
    """Do `work`; returns whether it finished, and prints an exception under `name`."""
    try:
        work()
    except Exception as error:  # whatever it is: a worker that just vanished would look like one that hangs
        print(f"{name}: {error!r}", flush=True)
        return False
    return True


def fork(work: Callable[..., bool], *arguments: object) -> int:
    """Start a process that runs `work` with `arguments` and exits with 0 if that returns true; returns its pid."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if work(*arguments) else 1
        finally:
            os._exit(code)
    return pid


class Meeting:
    """A barrier for forked processes: each waits until every other has come or is dead.

    It is a pipe that ends when no process can write to it any more, so a killed process keeps none waiting.
    """

    def __init__(self) -> None:
        self._end, self._way_in = os.pipe()

    def leave(self) -> None:
        """Opt out: the others do not wait for this process."""
        os.close(self._way_in)

    def come(self) -> None:
        """Wait for the others."""
        self.leave()
        os.read(self._end, 1)


def fork_all(count: int, work: Callable[[int], bool], meeting: Meeting | None = None) -> bool:
    """Start `count` processes that run `work` with their numbers; waits for all, and returns whether all succeeded.

    They may wait for each other at `meeting`, in which this process takes no part.
    """
    pids = [fork(work, number) for number in range(count)]
    if meeting is not None:
        meeting.leave()
    statuses = [os.waitpid(pid, 0)[1] for pid in pids]
    return not any(statuses)


def start(command: list[str], *, quiet: bool = False) -> int:
    """Start a program, as a shell does; returns its pid."""
    pid = os.fork()
    if pid == 0:
        try:
            if quiet:
                os.dup2(os.open("/dev/null", os.O_WRONLY), 1)
            os.execvp(command[0], command)
        finally:
            os._exit(127)
    return pid


def run(command: list[str], *, quiet: bool = False) -> None:
    """Start a program and wait for it; raises OSError if it fails."""
    status = os.waitpid(start(command, quiet=quiet), 0)[1]
    if status:
        raise OSError(f"{command[0]} ended with status {status:#x}")
