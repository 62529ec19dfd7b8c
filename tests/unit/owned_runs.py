"""State folders with paths short enough for sockets, and real children that own something in one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from harness.model.obligation import Obligation
from harness.state.obligations import owe
from harness.state.processes import process_owed
from harness.state.state import StateDir

Child = subprocess.Popen[str]

OWN_A_RUN = "run = state.open_run(); print(run.path, flush=True); sys.stdin.read()"


@contextmanager
def temporary_state() -> Iterator[StateDir]:
    """An empty state folder; pytest's own temporary folders have paths that are too long."""
    path = Path(tempfile.mkdtemp(prefix="hs-", dir="/tmp"))
    try:
        yield StateDir(path)
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def child(*argv: str, executable: str | None = None, **options: Any) -> Iterator[Child]:
    """A child process with pipes, killed and collected at the end if it has not been before."""
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, executable=executable, stdin=pipe, stdout=pipe, text=True, **options) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def python(state: StateDir, script: str) -> Iterator[tuple[Child, str]]:
    """A child that runs `script` with `state`; yields it and the first line that it prints."""
    start = "import sys; from pathlib import Path; from harness.state.state import StateDir\n"
    start += "state = StateDir(Path(sys.argv[1]))\n"
    with child(sys.executable, "-c", start + script, str(state.path)) as process:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()


@contextmanager
def owner(state: StateDir) -> Iterator[tuple[Child, Path]]:
    """A child that owns a run until it is killed; yields it and the run's folder."""
    with python(state, OWN_A_RUN) as (process, line):
        yield process, Path(line)


def kill(process: Child) -> None:
    """End a child as `kill -9` does, and wait until it is gone."""
    process.kill()
    process.wait()


def dead_run(state: StateDir) -> Path:
    """A run whose owner was killed."""
    with owner(state) as (process, path):
        kill(process)
    return path


def process_of(run: Path, process: Child, below: str) -> Obligation:
    """Have the run at `run` owe a process, by its program and by the path below the run's folder that it names."""
    obligation = process_owed(run, "fake", psutil.Process(process.pid).exe(), below)
    owe(obligation)
    return obligation


def thing_of(run: Path, name: str) -> Obligation:
    """Have the run at `run` owe a thing that only its provider knows."""
    obligation = Obligation(run=run, provider="fake", kind="thing", fields={"name": name})
    owe(obligation)
    return obligation


@contextmanager
def stand_in(program: str, *arguments: str, **options: Any) -> Iterator[Child]:
    """A process whose executable is called `program`, with any arguments, which waits for ever."""
    folder = Path(tempfile.mkdtemp(prefix="hp-", dir="/tmp"))
    try:
        copy = folder / program
        shutil.copy(shutil.which("sleep") or "/bin/sleep", copy)
        argv0 = " ".join((program, *arguments))
        with child(argv0, "300", executable=os.fspath(copy), **options) as process:
            yield process
    finally:
        shutil.rmtree(folder, ignore_errors=True)
