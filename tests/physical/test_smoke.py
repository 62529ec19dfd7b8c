"""One host of the test bed from its reservation to its hand-back, as `make check` sees it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.model.clock import Deadline
from harness.physical import reservation
from harness.physical.survey import differences, survey
from tests.testbed.places import BMC_PASSWORD
from tests.testbed.rack import hosts, inventory, shell

pytestmark = [pytest.mark.physical, pytest.mark.smoke]
HOST, TOPOLOGY = "m3", "third"
LOOK = "cat /run/harness-reservation; grep -c ' /run/harness ramfs ' /proc/mounts; pgrep -cf /run/harness/agent.py"


def test_a_host_is_reserved_used_and_given_back_as_it_was(state: Path) -> None:
    login = shell(HOST, hosts()[HOST])
    try:
        before = survey(login, HOST, programs=(), deadline=Deadline.after(120.0))
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
        assert reservation.look(login, Deadline.after(60.0)).is_free
        assert differences(before, survey(login, HOST, programs=(), deadline=Deadline.after(120.0))) == ()
        assert not list((state / "r").glob("[0-9a-f]*")), "nothing is owed"
    finally:
        login.close()
