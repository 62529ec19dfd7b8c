"""Child processes that never outlive the benchmark."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harness.model.errors import InfraError

# What a child may take to clean up after an interrupt before it is killed.
PATIENCE_S = 60.0
TAIL = 1500


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A child that came to its end: `began` in seconds since the epoch, `seconds` from its start to its end."""

    exit_code: int
    output: str
    began: float
    seconds: float

    @property
    def tail(self) -> str:
        """The end of what it printed."""
        return self.output.strip()[-TAIL:]


def run_child(
    command: Sequence[str], *, limit_s: float, cwd: Path, environment: Mapping[str, str] | None = None
) -> Finished:
    """Run `command` to its end; raises InfraError if it takes longer than `limit_s`.

    Whatever ends this call early, the child and its children get an interrupt, as from a terminal, and then a kill.
    """
    # Into a file: a grandchild that lives on could hold a pipe open for ever.
    with tempfile.TemporaryFile() as output:
        began, started = time.time(), time.monotonic()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
        try:
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired as error:
            _end(process)
            raise InfraError(f"`{command[0]}` was not done within {limit_s:.0f} s") from error
        except BaseException:
            _end(process)
            raise
        seconds = time.monotonic() - started
        output.seek(0)
        text = output.read().decode("utf-8", "replace")
    return Finished(exit_code=code, output=text, began=began, seconds=seconds)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Interrupt the child and its children, as a terminal would, wait for it to clean up, then kill what is left."""
    _signal_group(process.pid, signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        process.wait(PATIENCE_S)
    _signal_group(process.pid, signal.SIGKILL)
    process.wait()


def _signal_group(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, number)
