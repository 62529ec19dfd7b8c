"""The parts of the test bed that decide something: what is its own process, what may be removed, what it tells."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.inventory.cross_checks import Limits
from harness.inventory.inventory import load_inventory
from tests.testbed import image, inventory
from tests.testbed.chassis import Chassis
from tests.testbed.places import BMC_PASSWORD, DOUBLES, double
from tests.testbed.servers import Server, in_root, started

# A server outlives who started it.
pytestmark = pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_TESTBED", str(tmp_path))
    return tmp_path


@pytest.fixture
def server() -> Iterator[Server]:
    one = Server("one")
    yield one
    one.stop()


def reap() -> None:
    """Take the end of children that this process started."""
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                return
        except ChildProcessError:
            return


def test_a_server_is_started_once_and_ended(server: Server) -> None:
    server.start(SLEEP)
    first = server.pid
    server.start(SLEEP)
    assert first is not None
    assert server.pid == first
    assert server.stop()
    assert not started(first)
    assert not server.stop()
    reap()


def test_a_process_that_has_the_pid_of_a_dead_server_is_left_alone(server: Server, own_folder: Path) -> None:
    other = subprocess.Popen(SLEEP)
    note = own_folder / "servers/one.json"
    note.parent.mkdir()
    note.write_text(f'{{"pid": {other.pid}, "started": "1"}}')
    assert server.pid is None
    assert not server.stop()
    assert other.poll() is None
    other.kill()
    other.wait()


def test_a_server_that_ignores_sigterm_is_killed(server: Server) -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(60)"
    server.start([sys.executable, "-c", code])
    pid = server.pid
    assert pid is not None
    log = server._note.with_suffix(".log")
    while "on" not in log.read_text():
        time.sleep(0.02)
    assert server.stop()
    end = time.monotonic() + 5
    while started(pid) and time.monotonic() < end:
        time.sleep(0.02)
    assert started(pid) == ""
    reap()


def test_a_frozen_server_still_has_its_pid_and_can_be_ended(server: Server) -> None:
    server.start(SLEEP)
    server.signal(signal.SIGSTOP)
    assert server.pid is not None
    assert server.stop()
    reap()


def test_a_machine_is_off_when_another_process_has_its_pid() -> None:
    machine = double("m1")
    machine.home.mkdir()
    (machine.home / "pid").write_text(str(os.getpid()))
    assert Chassis(machine).pid is None


def test_a_folder_below_which_something_is_mounted_is_not_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match="/proc is mounted"):
        image.remove_tree(Path("/proc"))


def test_a_folder_is_removed(own_folder: Path) -> None:
    tree = own_folder / "root/a/b"
    tree.mkdir(parents=True)
    image.remove_tree(own_folder / "root")
    assert not (own_folder / "root").exists()


def test_the_recipe_names_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    before = image.disk_digest()
    assert image.disk_digest() == before
    monkeypatch.setattr(image, "PACKAGES", (*image.PACKAGES, "one-more"))
    assert image.disk_digest() != before


def test_a_program_of_the_root_runs_with_the_libraries_of_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.testbed.servers.server_root", lambda: Path("/r"))
    command = in_root("usr/bin/ipmitool")
    assert command[0] == "/r/lib64/ld-linux-x86-64.so.2"
    assert command[-1] == "/r/usr/bin/ipmitool"


def test_the_inventory_has_no_password_and_every_double(own_folder: Path) -> None:
    public = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJf1JHTrTlHSHFsXZ5zXQ9a9v5BFw8VRBtqmnrZUGb0W m1"
    for one in DOUBLES:
        one.home.mkdir()
        (one.home / "host_key.pub").write_text(f"{public}\n")
    (own_folder / "key").touch()
    (double("m2").home / "redfish.pem").touch()
    text = inventory.write_inventory().read_text()
    hosts = {table["name"]: table for table in tomllib.loads(text)["host"] if table.get("kind") == "physical"}
    assert set(hosts) == {one.name for one in DOUBLES}
    assert BMC_PASSWORD not in text
    assert (own_folder / "bmc.password").stat().st_mode & 0o077 == 0
    assert {table["power"]["driver"] for table in hosts.values()} == {"ipmi", "redfish"}
    load_inventory(own_folder / "inventory.toml", limits=Limits(machine_memory=2**30))
    assert len({table["address"] for table in hosts.values()}) == len(DOUBLES)
