"""Troubles of a rack: two controllers, dead BMCs, lost logins, changed keys, hosts that stay away."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.model.clock import Deadline
from harness.physical import reservation
from harness.physical.survey import differences
from tests.testbed import faults
from tests.testbed.places import double
from tests.testbed.rack import ask, hosts, inventory, is_free, look, on_host
from tests.testbed.servers import ROOT

pytestmark = pytest.mark.physical
HOST = os.environ.get("HARNESS_TROUBLED_HOST", "m4")
TOPOLOGY = {"m3": "third", "m4": "fourth"}[HOST]
CASE = Path(__file__).parents[2] / "testcases/test_nbd_swap.py"
END_S = 1500.0


def command(*words: str, state: Path) -> list[str]:
    return [sys.executable, "-m", "harness.cli", *words, "--state", str(state)]


def up(state: Path, text: str, *options: str) -> subprocess.CompletedProcess[str]:
    argv = [*command("up", TOPOLOGY, "--inventory", str(inventory()), *options, state=state), "--", text]
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=END_S)


@contextmanager
def holding(state: Path, seconds: float) -> Iterator[subprocess.Popen[str]]:
    """Another controller that has the host by now."""
    argv = [*command("up", TOPOLOGY, "--inventory", str(inventory()), state=state), "--", f"echo have; sleep {seconds}"]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "have\n"
        yield process


@pytest.fixture
def other(state: Path) -> Path:
    """The state folder of another controller."""
    return state.with_name("o")


def test_of_two_controllers_the_second_waits(other: Path, state: Path) -> None:
    with holding(other, 20.0) as first:
        second = up(state, "true")
        assert first.wait() == 0
    assert second.returncode == 0, second.stderr
    assert f"waiting: host {HOST} is reserved by" in second.stderr + second.stdout
    assert is_free(HOST)


def test_a_controller_that_took_the_host_over_is_obeyed(other: Path, state: Path) -> None:
    """The first one is stopped, so its reservation becomes stale; the second one has to say --steal."""
    with holding(other, 5.0) as first:
        os.kill(first.pid, 19)
        on_host(HOST, "touch -d '1 hour ago' %s", reservation.FILE)
        refused = up(state, "true")
        taken = up(state, "true", "--steal")
        os.kill(first.pid, 18)
        first.wait()
    assert refused.returncode == 2 and "take the host over with --steal" in refused.stderr
    assert refused.stderr.count("\n") == 1, refused.stderr
    assert taken.returncode == 0, taken.stderr
    assert f"{HOST}: taken over from" in taken.stderr + taken.stdout
    assert is_free(HOST)


def test_a_dead_bmc_refuses_the_host_in_one_line_and_changes_nothing(state: Path) -> None:
    before = look(HOST)
    with faults.bmc_dead(double(HOST)):
        done = up(state, "true")
    assert done.returncode == 2 and f"the BMC of {HOST}" in done.stderr and "does not answer" in done.stderr
    assert is_free(HOST) and differences(before, look(HOST)) == ()


def test_a_bmc_that_dies_in_the_middle_is_not_missed_by_a_host_that_is_well(state: Path) -> None:
    before = look(HOST)
    with holding(state, 15.0) as process, faults.bmc_dead(double(HOST)):
        assert process.wait() == 0
    assert is_free(HOST) and differences(before, look(HOST)) == ()


def test_a_lost_login_is_one_line(state: Path) -> None:
    with faults.ssh_cut(double(HOST)):
        done = up(state, "true")
    assert done.returncode == 2 and done.stderr.count("\n") <= 2, done.stderr
    assert HOST in done.stderr
    assert is_free(HOST)


def test_another_host_key_is_refused_and_named(state: Path) -> None:
    with faults.host_key_changed(double(HOST)):
        done = up(state, "true")
    assert done.returncode == 2 and "key" in done.stderr and "SHA256:" in done.stderr, done.stderr
    assert is_free(HOST)


def test_a_host_that_hangs_and_cannot_be_reset_is_put_into_quarantine(state: Path, tmp_path: Path) -> None:
    text = inventory().read_text()
    single = f'name = "single"\nroles = {{ client = "{HOST}", server = "{HOST}" }}'
    rack = tmp_path / "rack.toml"
    rack.write_text(re.sub(r'name = "single"\nroles = \{[^}]*\}', single, text))
    given = ["--inventory", str(rack), "--results", str(tmp_path / "results"), "-k", "loopback"]
    with subprocess.Popen(command("run", str(CASE), *given, state=state), stdin=subprocess.DEVNULL) as process:
        deadline = Deadline.after(END_S)
        # What the verdict needs is there by then, and the host is about to be power-cycled.
        while '"name":"recovery","state":"end"' not in "".join(
            path.read_text() for path in tmp_path.glob("results/*/trials/*/history.jsonl")
        ):
            assert not deadline.passed and process.poll() is None
            time.sleep(0.2)
        with faults.bmc_dead(double(HOST)):
            assert process.wait(timeout=END_S) == 0, "the verdict is as expected; the host is another matter"
    listed = subprocess.run(
        [*command("hosts", HOST, "--json", "--inventory", str(rack), state=state)], capture_output=True, text=True
    )
    found = json.loads(listed.stdout)
    assert listed.returncode == 1 and found["state"] == "quarantine" and "BMC" in found["detail"]
    refused = up(state, "true")
    assert refused.returncode == 2 and f"host {HOST} is in quarantine" in refused.stderr
    for verb in ("down", "up"):  # by a process of its own: what a test starts ends with it
        subprocess.run([sys.executable, "-m", "tests.testbed", verb, HOST], cwd=ROOT, check=True)
    ask(HOST, hosts()[HOST], "true", within_s=300.0)
    released = subprocess.run(
        [*command("hosts", HOST, "--release", "--inventory", str(rack), state=state)], capture_output=True, text=True
    )
    assert released.returncode == 0, released.stdout + released.stderr
    assert up(state, "true").returncode == 0
