"""The harness is killed at random instants: every host comes home, by the next command, and nothing of it is left."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.drivers.secrets import read_secret
from harness.model.clock import Deadline
from harness.physical.survey import differences
from tests.testbed.rack import hosts, inventory, is_free, look

pytestmark = pytest.mark.physical
INSTANTS = int(os.environ.get("HARNESS_INSTANTS", "20"))
HOST = os.environ.get("HARNESS_KILLED_HOST", "m4")
# The row that hangs its host for certain: swap over NBD to itself.
CASE = Path(__file__).parents[2] / "testcases/test_nbd_swap.py"
# Seconds from the first look at the host to its hang; with a kernel of the run it boots first.
STAYS_S, BOOTS_S = 90.0, 150.0
GONE_S = 10.0
MARK = "HARNESS_TEST_MARK"


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


def harness(*words: str, state: Path) -> list[str]:
    return [sys.executable, "-m", "harness.cli", *words, "--state", str(state)]


def files_of(*folders: Path) -> list[Path]:
    return [path for folder in folders for path in folder.rglob("*") if path.is_file()]


def inventory_for(host: str, folder: Path) -> Path:
    """The inventory, with the topology of the case on this host."""
    text = inventory().read_text()
    single = f'name = "single"\nroles = {{ client = "{host}", server = "{host}" }}'
    changed = re.sub(r'name = "single"\nroles = \{[^}]*\}', single, text)
    path = folder / "inventory.toml"
    path.write_text(changed)
    return path


@pytest.mark.parametrize("number", range(INSTANTS))
def test_the_host_of_a_killed_run_comes_home(number: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    state = Path("/tmp") / f"hk-{os.getpid()}"
    before = look(HOST)
    power = hosts()[HOST].power
    assert power is not None and power.password is not None
    secret = read_secret(power.password, deadline=Deadline.after(10.0)).encode()
    chance = random.Random(number)
    boots = number % 5 == 4
    after_s = chance.uniform(0.5, BOOTS_S if boots else STAYS_S)
    kernel = ["--kernel", "debian:12"] if boots else []
    mark = f"{os.getpid()}-{number}"
    environment = {**os.environ, MARK: mark}
    folder = tmp_path_factory.mktemp("killed")
    given = ("--inventory", str(inventory_for(HOST, folder)), "--results", str(folder), "-k", "loopback", *kernel)
    command = harness("run", str(CASE), *given, state=state)
    with subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        time.sleep(after_s)
        process.send_signal(signal.SIGKILL)
    deadline = Deadline.after(GONE_S)
    while left(mark) and not deadline.passed:
        time.sleep(0.2)
    assert not left(mark), f"killed after {after_s:.1f} s"
    assert not [path for path in files_of(folder, state) if secret in path.read_bytes()], "a file has the password"
    cleaned = subprocess.run(
        harness("clean", state=state), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900
    )
    assert cleaned.returncode == 0 and "kept" not in cleaned.stdout, cleaned.stdout + cleaned.stderr
    assert is_free(HOST), f"{after_s:.1f} s: {cleaned.stdout}"
    assert differences(before, look(HOST)) == (), f"{after_s:.1f} s: {cleaned.stdout}"
    assert not list((state / "r").glob("[0-9a-f]*")), "nothing is owed any more"
    print(json.dumps({"after_s": round(after_s, 1), "kernel": kernel, "cleaned": cleaned.stdout.splitlines()}))
