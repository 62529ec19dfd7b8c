"""The start of a sandbox: starts its supervisor and waits until its hosts are up or have failed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

import harness
from harness.model.errors import InfraError
from harness.providers import clean
from harness.sandbox.guests import SandboxRequest
from harness.sandbox.supervisor import KEEP, Failed, Step, Up
from harness.state.sandboxes import Sandbox, create
from harness.state.state import StateDir

SUPERVISOR = "harness.sandbox"
END_S = 60.0  # time to take down guests that are partly up, and their storage
TAIL = 2000


def start(request: SandboxRequest, note: Callable[[str], None]) -> Sandbox:
    """Start the sandbox of a request in a process that stays; `note` gets a line for each step.

    Raises UsageError if a sandbox of that name exists, InfraError if the hosts do not come up. After an error or an
    interrupt nothing is left behind.
    """
    state = StateDir.of(request.settings)
    sandbox, lock = create(state, request.topology.name)
    ours, theirs = Pipe()
    with theirs, ours:
        process = _launch(sandbox, theirs.fileno(), lock)
        os.close(lock)
        theirs.close()
        try:
            _await(ours, sandbox, request, note)
            ours.send(KEEP)
            process.returncode = 0  # it stays and is not waited for; without this, Popen would warn
        except BaseException:
            ours.close()  # this tells the supervisor to end
            _see_it_end(process)
            clean(request.settings)
            raise
    return sandbox


def _launch(sandbox: Sandbox, link: int, lock: int) -> subprocess.Popen[bytes]:
    with sandbox.log.open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", SUPERVISOR, str(link), str(lock)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Not the user's folder, which must not be kept busy. From this one the package is always found.
            cwd=Path(harness.__file__).parents[1],
            start_new_session=True,
            pass_fds=(link, lock),
        )


def _await(link: Connection, sandbox: Sandbox, request: SandboxRequest, note: Callable[[str], None]) -> None:
    tail = ""
    try:
        link.send((sandbox, request))
        while True:
            match link.recv():
                case Step(text):
                    note(text)
                case Failed(problem):
                    raise InfraError(problem)
                case Up():
                    return
    except (EOFError, OSError) as error:
        if sandbox.log.exists():
            tail = sandbox.log.read_text(errors="replace").strip()[-TAIL:]
        raise InfraError(
            f"the supervisor of {sandbox.name!r} ended without a word: {tail or 'its log is empty'}"
        ) from error


def _see_it_end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
