"""A session in a process of its own ends with the process that began it, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.model.errors import UsageError
from harness.results.run_lock import take_over
from harness.results.store import RunStore

CASE = """
import pytest

@pytest.mark.topology("pair")
def test_case(trial):
    trial.run(storage=None, workload="sleep")
"""
PATIENCE_S = 300.0  # a bound for a machine under load
PARENT = """
import pathlib, signal, sys
from harness.plugin.repeat import run_one

if sys.argv[2] == "SIGKILL":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in the background of a shell
else:
    signal.signal(signal.SIGINT, signal.default_int_handler)
run_one("test_x.py", side_text="stock", given_options={"state": sys.argv[1]}, run_folder=pathlib.Path("steps"))
"""


@pytest.fixture
def short() -> Iterator[str]:
    """A state folder with a path that is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="h", dir="/tmp") as folder:
        yield folder


@pytest.mark.parametrize(("number", "status"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, -signal.SIGINT)])
def test_the_child_ends_and_cleans_up(
    project: pytest.Pytester, short: str, number: signal.Signals, status: int
) -> None:
    project.makepyfile(test_x=CASE)
    run = project.path / "steps"
    script = project.makepyfile(parent=PARENT)
    parent = subprocess.Popen([sys.executable, script, short, number.name], stderr=subprocess.DEVNULL)
    while not any(len(trial.read_history()) > 2 for trial in RunStore(run).trials()):
        assert parent.poll() is None
        time.sleep(0.05)
    with pytest.raises(UsageError, match="this run is going on"):
        take_over(run, patience_s=0)
    os.kill(parent.pid, number)
    assert parent.wait() == status
    take_over(run, patience_s=PATIENCE_S).close()  # nobody works there any more
    assert "KeyboardInterrupt" in (run / "sessions.log").read_text()
    assert list(Path(short, "r").glob("[!.]*")) == []
