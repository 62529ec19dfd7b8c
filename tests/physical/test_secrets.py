"""The password of a BMC is in no result, no note of a run, no output and no process list."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from harness.drivers.secrets import read_secret
from harness.model.clock import Deadline
from tests.testbed.rack import hosts, inventory

pytestmark = pytest.mark.physical
HOST = os.environ.get("HARNESS_SECRETS_HOST", "m3")
LOOK_S = 0.2


def test_a_password_is_nowhere(state: Path) -> None:
    power = hosts()[HOST].power
    assert power is not None and power.password is not None
    secret = read_secret(power.password, deadline=Deadline.after(10.0)).encode()
    command = [sys.executable, "-m", "harness.cli", "up", "third", "--inventory", str(inventory())]
    seen: list[str] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(LOOK_S):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    if secret in path.read_bytes():
                        seen.append(str(path))
                except OSError:
                    continue

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    done = subprocess.run(
        [*command, "--state", str(state), "--", "sleep 5"], stdin=subprocess.DEVNULL, capture_output=True
    )
    ended.set()
    watcher.join()
    assert done.returncode == 0, done.stderr
    assert not seen, "a process list shows it"
    assert secret not in done.stdout + done.stderr
    files = [path for path in state.rglob("*") if path.is_file()]
    assert not [path for path in files if secret in path.read_bytes()]
