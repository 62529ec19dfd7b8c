"""The end of a sandbox: asks its supervisor to end, waits, and kills processes that do not end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

import psutil

from harness.model.clock import Clock, Deadline
from harness.model.settings import Settings
from harness.providers import clean
from harness.sandbox.guests import TEAR_DOWN_S
from harness.state.processes import end as end_processes
from harness.state.processes import runs
from harness.state.sandboxes import Sandbox

# Time to take down the storage, and then the guests.
END_S = TEAR_DOWN_S + 30.0
POLL_S = 0.1
SAME_S = 2.0  # start times are relative to boot time, which moves when the clock is set


def end(settings: Settings, sandbox: Sandbox, clock: Clock) -> Iterator[str]:
    """End a sandbox; yields a line for each thing ended. Processes that its supervisor leaves are killed by pid."""
    supervisor = supervisor_of(sandbox)
    if supervisor is not None:
        with suppress(FileNotFoundError), sandbox.log.open(encoding="utf-8", errors="replace") as log:
            log.seek(0, os.SEEK_END)  # only its lines from now on
            with suppress(psutil.Error):
                supervisor.terminate()
            ending = _wait(sandbox, supervisor, Deadline.after(END_S, clock))
            yield from (line.rstrip("\n") for line in log)
            yield ending
    yield from clean(settings)


def supervisor_of(sandbox: Sandbox) -> psutil.Process | None:
    """The process that holds a sandbox, or None; a process with another start time only reuses its pid."""
    record = sandbox.owner_record
    with suppress(psutil.Error, KeyError):
        process = psutil.Process(int(record["pid"]))
        if abs(process.create_time() - float(record["started"])) < SAME_S:
            return process
    return None


def _wait(sandbox: Sandbox, supervisor: psutil.Process, deadline: Deadline) -> str:
    """Wait for the supervisor's end, or kill it; returns a line about that."""
    while runs(supervisor):
        if deadline.passed:
            end_processes([supervisor], deadline.clock)
            return f"the supervisor of {sandbox.name!r} did not end within {END_S:.0f} s: killed, pid {supervisor.pid}"
        deadline.clock.sleep(POLL_S)
    return f"ended the supervisor of {sandbox.name!r}, pid {supervisor.pid}"
