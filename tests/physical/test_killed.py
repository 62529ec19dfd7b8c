"""The harness is killed at random instants: every host comes home, by the next command, and nothing of it is left."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.model.clock import Deadline
from harness.physical import reservation
from harness.physical.survey import HostSurvey, differences, survey
from tests.testbed.rack import hosts, inventory, shell

pytestmark = pytest.mark.physical
INSTANTS = int(os.environ.get("HARNESS_INSTANTS", "20"))
TOPOLOGY = os.environ.get("HARNESS_KILLED_TOPOLOGY", "fourth")
HOST = os.environ.get("HARNESS_KILLED_HOST", "m4")
# Seconds until the hosts are up and beyond; with a kernel of the run they boot first.
STAYS_S, BOOTS_S = 30.0, 120.0
MARK = "HARNESS_TEST_MARK"


def look() -> HostSurvey:
    login = shell(HOST, hosts()[HOST])
    try:
        return survey(login, HOST, programs=(), deadline=Deadline.after(120.0))
    finally:
        login.close()


def left(mark: str) -> list[str]:
    """Processes of this machine that the killed harness started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def harness(*words: str, state: Path, mark: str) -> list[str]:
    return [sys.executable, "-m", "harness.cli", *words, "--state", str(state)]


@pytest.mark.parametrize("number", range(INSTANTS))
def test_the_host_of_a_killed_run_comes_home(number: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    state = Path("/tmp") / f"hk-{os.getpid()}"
    before = look()
    chance = random.Random(number)
    boots = number % 4 == 3
    after_s = chance.uniform(0.5, BOOTS_S if boots else STAYS_S)
    kernel = ["--kernel", "debian:12"] if boots else []
    mark = f"{os.getpid()}-{number}"
    environment = {**os.environ, MARK: mark}
    words = ("up", TOPOLOGY, "--inventory", str(inventory()), *kernel)
    command = [*harness(*words, state=state, mark=mark), "--", "sleep 300"]
    with subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        time.sleep(after_s)
        process.send_signal(signal.SIGKILL)
    time.sleep(2.0)
    assert not left(mark), f"killed after {after_s:.1f} s"
    cleaned = subprocess.run(
        harness("clean", state=state, mark=mark), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900
    )
    assert cleaned.returncode == 0 and "kept" not in cleaned.stdout, cleaned.stdout + cleaned.stderr
    login = shell(HOST, hosts()[HOST])
    try:
        assert reservation.look(login, Deadline.after(60.0)).is_free, f"{after_s:.1f} s: {cleaned.stdout}"
    finally:
        login.close()
    assert differences(before, look()) == (), f"{after_s:.1f} s: {cleaned.stdout}"
    assert not list((state / "r").glob("[0-9a-f]*")), "nothing is owed any more"
    print(json.dumps({"after_s": round(after_s, 1), "kernel": kernel, "cleaned": cleaned.stdout.splitlines()}))
