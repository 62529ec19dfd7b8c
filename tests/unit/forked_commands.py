"""`harness` commands in forks of one process that has imported all, which may die before their n-th change of a folder.

Run as a script, it is that process: each line of its input is a command, each line of its output how that ended.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MODULES = """
execnet networkx psutil rich.console xdist.plugin harness.cli.compare harness.cli.run harness.compare.run
harness.diagnosis.trial harness.inventory.inventory harness.trial.run harness.report.read.lanes
harness.plugin.live.ladder harness.plugin.live.screen
"""
CHANGES = ("os.rename", "os.mkdir", "os.remove", "os.rmdir")
TO_WRITE = os.O_WRONLY | os.O_RDWR


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended: its exit code, negative for a signal, and what it printed."""

    code: int
    output: str


class Forks:
    """Runs commands in forks of `process`, in the folder `path`, one at a time."""

    def __init__(self, process: subprocess.Popen[str], path: Path) -> None:
        self._process, self._path = process, path

    def run(self, *arguments: str, folder: Path, change: int = 0, number: signal.Signals = signal.SIGKILL) -> Ended:
        """Run `harness` with `arguments`; it gets the signal `number` before its `change`th change below `folder`."""
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps([str(folder), change, number, arguments]), file=self._process.stdin, flush=True)
        code = int(self._process.stdout.readline())
        return Ended(code, (self._path / "output").read_text())


@contextmanager
def forks(path: Path) -> Iterator[Forks]:
    """A process to run commands in forks of, in the folder `path`."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, __file__], cwd=path, stdin=pipe, stdout=pipe, text=True) as process:
        yield Forks(process, path)


def _dying(folder: str, change: int, number: int) -> Callable[[str, tuple[Any, ...]], None]:
    """A hook of `sys.addaudithook`, which hears of every change before it is made."""
    seen = 0

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if event in CHANGES or (event == "open" and arguments[2] & TO_WRITE):
            seen += str(arguments[0]).startswith(folder)
            if seen == change:
                seen += 1
                os.kill(os.getpid(), number)

    return hear


def _run_in_fork(folder: str, change: int, number: int, arguments: Sequence[str]) -> int:
    from harness.cli import call

    child = os.fork()
    if not child:
        # A shell has the signal ignored in what it starts in the background, and that is inherited.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        output = os.open("output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        for descriptor in (1, 2):
            os.dup2(output, descriptor)
        if change:
            sys.addaudithook(_dying(folder, change, number))
        code = call(list(arguments))
        sys.stdout.flush()
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    plugin = importlib.import_module("harness.plugin")
    for name in (*MODULES.split(), *(found.name for found in pkgutil.iter_modules(plugin.__path__, "harness.plugin."))):
        importlib.import_module(name)
    for line in sys.stdin:
        print(_run_in_fork(*json.loads(line)), flush=True)
