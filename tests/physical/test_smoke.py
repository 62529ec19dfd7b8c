"""One host of the test bed from its reservation to its hand-back, as `make check` sees it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.physical.survey import differences
from tests.testbed.places import BMC_PASSWORD
from tests.testbed.rack import inventory, is_free, look

pytestmark = [pytest.mark.physical, pytest.mark.smoke]
HOST, TOPOLOGY = "m3", "third"
LOOK = "cat /run/harness-reservation; grep -c ' /run/harness ramfs ' /proc/mounts; pgrep -cf /run/harness/agent.py"


def test_a_host_is_reserved_used_and_given_back_as_it_was(state: Path) -> None:
    before = look(HOST)
    command = [sys.executable, "-m", "harness.cli", "up", TOPOLOGY, "--inventory", str(inventory())]
    done = subprocess.run(
        [*command, "--state", str(state), "--", LOOK],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=170,
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert f'"purpose": "harness up {TOPOLOGY}"' in done.stdout, "it was reserved"
    assert said[-2] == "1" and int(said[-1]) >= 1, "its agent ran, from a ramfs"
    assert BMC_PASSWORD not in done.stdout + done.stderr
    assert is_free(HOST)
    assert differences(before, look(HOST)) == ()
    assert not list((state / "r").glob("[0-9a-f]*")), "nothing is owed"
