"""Commands of this machine that a driver runs: bounded by a deadline, and killed with their children when it passes."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from harness.model.clock import Deadline
from harness.model.errors import HostEnvironmentError, InfraError

LIMIT = 64 * 1024
NOISE = "IANA PEN registry"  # ipmitool wants a list of vendors, which it needs for nothing here


@dataclass(frozen=True, slots=True)
class Output:
    """The end of a command."""

    exit_code: int
    out: str
    err: str

    @property
    def reason(self) -> str:
        """The last line that it printed, for a message; printable."""
        lines = [line for line in (self.err + "\n" + self.out).splitlines() if line.strip() and NOISE not in line]
        return printable(lines[0]) if lines else f"exit code {self.exit_code}"


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
        name = command if is_text else command[0]
        raise HostEnvironmentError(f"cannot run {name}: {error.strerror}", remedy=f"apt install {name}") from error
    try:
        out, err = process.communicate(timeout=max(0.05, deadline.remaining))
    except subprocess.TimeoutExpired as error:
        raise InfraError(f"{command if is_text else command[0]} does not answer in time") from error
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return Output(process.returncode, out[:LIMIT].decode("utf-8", "replace"), err[:LIMIT].decode("utf-8", "replace"))
