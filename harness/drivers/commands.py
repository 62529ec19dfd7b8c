"""Commands of this machine that a driver runs: bounded by a deadline, and killed with their children when it passes."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from harness.model.clock import Deadline
from harness.model.errors import HostEnvironmentError, InfraError

LIMIT = 64 * 1024  # bytes of each output that are kept
PIPE, READ = 1024 * 1024, 64 * 1024  # the most that a pipe holds; bytes of one read
POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Output:
    """The end of a command."""

    exit_code: int
    out: str
    err: str

    @property
    def reason(self) -> str:
        """The first line that says something, for a message; printable. Python's traceback says it in its last line."""
        lines = [line for line in (self.err + "\n" + self.out).splitlines() if printable(line)]
        if not lines:
            return f"exit code {self.exit_code}"
        return printable(lines[-1 if lines[0].startswith("Traceback (most recent call last)") else 0])


def printable(text: str) -> str:
    """The text on one line, without control characters, at most 200 characters."""
    return "".join(char if char.isprintable() else " " for char in text).strip()[:200]


def run_command(
    command: Sequence[str] | str, *, deadline: Deadline, environment: Mapping[str, str] | None = None
) -> Output:
    """Run a command, with a shell if it is a text; raises InfraError if the deadline passes.

    `environment` is added to this process's. Raises HostEnvironmentError if the program is not installed.
    """
    is_text = isinstance(command, str)
    name = command if is_text else command[0]
    try:
        process = subprocess.Popen(
            command,
            shell=is_text,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
    except OSError as error:
        raise HostEnvironmentError(f"cannot run {name}: {error.strerror}", remedy=f"apt install {name}") from error
    with process:  # closes the pipes
        try:
            out, err = _outputs(process, deadline)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if out is None or err is None:
        raise InfraError(f"{name} does not answer in time")
    return Output(process.returncode, out, err)


def _outputs(process: subprocess.Popen[bytes], deadline: Deadline) -> tuple[str, str] | tuple[None, None]:
    """What it prints until it ends, at most LIMIT of each; (None, None) if the deadline passes before."""
    assert process.stdout is not None and process.stderr is not None
    out, err = bytearray(), bytearray()
    with selectors.DefaultSelector() as selector:
        for pipe, kept in ((process.stdout, out), (process.stderr, err)):
            selector.register(pipe, selectors.EVENT_READ, kept)
        # Its children may hold the pipes for longer than it runs, so its own end counts.
        while process.poll() is None:
            if deadline.passed:
                return None, None
            _read(selector, min(POLL_S, deadline.remaining))
        for _ in range(PIPE // READ):  # what is still in the pipes, even if its children go on printing
            _read(selector, 0.0)
    return out.decode("utf-8", "replace"), err.decode("utf-8", "replace")


def _read(selector: selectors.BaseSelector, wait_s: float) -> None:
    """Wait for output, and keep what there is room for."""
    for key, _ in selector.select(wait_s):
        data = os.read(key.fd, READ)
        if not data:
            selector.unregister(key.fileobj)
        key.data.extend(data[: LIMIT - len(key.data)])
