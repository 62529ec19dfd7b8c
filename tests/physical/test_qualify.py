"""Racks that are well, and racks that are not: what `harness qualify` says of each.

HARNESS_QUALIFY_HOSTS are two hosts with a link called "cluster", of the test bed's inventory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness.faults.net_driver import VARIANT
from harness.kernels.custom_kernels import find_kernel
from harness.kernels.module_variants import build_variant
from harness.model.clock import Deadline
from harness.model.observe import Silent
from harness.model.options import resolve
from tests.testbed.chassis import Chassis
from tests.testbed.inventory import DATA_CARD
from tests.testbed.places import double
from tests.testbed.rack import hosts, inventory, on_host, shell

pytestmark = [pytest.mark.physical, pytest.mark.qualify]
A, B = os.environ.get("HARNESS_QUALIFY_HOSTS", "m1,m2").split(",")
ODD = "m4"  # it has more memory than the others
END_S = 5400.0
MODULE = "/root/harness_net.ko"


def qualify(
    tmp_path: Path, state: Path, *options: str, names: str = f"{A},{B}", rack: Path | None = None
) -> tuple[int, dict[str, Any]]:
    """The exit code and the decision."""
    given = [str(rack or inventory()), "--hosts", names, "--state", str(state), "--results", str(tmp_path / "results")]
    command = [sys.executable, "-m", "harness.cli", "qualify", *given, "--json", *options]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=END_S)
    assert done.returncode in (0, 1), done.stderr
    print(done.stderr)
    decision: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, decision


def failed(decision: dict[str, Any]) -> list[dict[str, Any]]:
    return [check for one in decision["subjects"] for check in one["checks"] if check["grade"] == "FAIL"]


def test_a_rack_that_is_well_passes(tmp_path: Path, state: Path) -> None:
    code, decision = qualify(tmp_path, state, "--hours", "0.05")
    assert (code, decision["grade"]) == (0, "PASS"), failed(decision)


@contextmanager
def slow_to_send(name: str, mbit_s: int) -> Iterator[None]:
    on_host(name, f"tc qdisc replace dev {DATA_CARD} root netem rate {mbit_s}mbit")
    try:
        yield
    finally:
        on_host(name, f"tc qdisc del dev {DATA_CARD} root || :")


def test_a_link_that_is_slow_in_one_direction_is_named_with_the_direction(tmp_path: Path, state: Path) -> None:
    with slow_to_send(A, 2):
        code, decision = qualify(tmp_path, state, "--stages", "inspect,links")
    slow = [check["hosts"] for check in failed(decision) if check["what"] == "bandwidth"]
    assert code == 1 and slow == [[A, B]], failed(decision)


def test_the_odd_host_out_is_named(tmp_path: Path, state: Path) -> None:
    code, decision = qualify(tmp_path, state, "--stages", "inspect", names=f"{A},{B},{ODD}")
    assert code == 1
    assert [(check["hosts"], check["what"]) for check in failed(decision)] == [([ODD], "memory, against the others")]


def test_a_cable_that_fails_in_the_soak(tmp_path: Path, state: Path) -> None:
    """It comes out as soon as the soak's first transfer runs, and stays out."""
    chassis = Chassis(double(A))
    over = threading.Event()

    def pull() -> None:
        while not over.wait(1.0):
            histories = list(tmp_path.glob("results/*/trials/soak*/history.jsonl"))
            if any('"name":"load","state":"begin"' in path.read_text() for path in histories):
                chassis.monitor("set_link", name="data", up=False)
                return

    puller = threading.Thread(target=pull)
    puller.start()
    try:
        code, decision = qualify(tmp_path, state, "--hours", "0.05")
    finally:
        over.set()
        puller.join()
        chassis.monitor("set_link", name="data", up=True)
    found = failed(decision)
    assert code == 1 and {check["stage"] for check in found} == {"soak"}, found
    assert all(set(check["hosts"]) == {A, B} for check in found)


@contextmanager
def sends_through_a_driver_that_allocates(name: str, folder: Path) -> Iterator[Path]:
    """Its owner's network driver is ours, which allocates to send; the inventory with the interface that it makes."""
    login = shell(name, hosts()[name])
    try:
        release = login.run("uname -r", deadline=Deadline.after(60.0)).stdout.strip()
        login.put(own_module(release, folder), MODULE, deadline=Deadline.after(60.0))
        given = f"this_host_is_disposable=1 lower={DATA_CARD} gfp=kernel every=256"
        login.run(f"ip link set {DATA_CARD} up && insmod %s {given}", MODULE, deadline=Deadline.after(60.0))
        rack = folder / "rack.toml"
        before, mark, rest = inventory().read_text().partition(f'name = "{name}"\n')
        rack.write_text(before + mark + rest.replace(f'cluster = "{DATA_CARD}"', 'cluster = "harness0"', 1))
        yield rack
    finally:
        login.close()
        on_host(name, "rmmod harness_net; rm -f %s; :", MODULE)
        on_host(name, f"ip link set {DATA_CARD} down; :")


def own_module(release: str, folder: Path) -> bytes:
    """The module for the kernel that the owner runs; it is a distribution's."""
    settings = resolve({}, flag="--", environ=os.environ, ini={}, cwd=folder, root=folder).settings
    kernel = find_kernel(settings, "debian:12", Silent())
    assert kernel.release == release, "the test bed's image and the archive have grown apart; make the image again"
    return build_variant(settings, kernel, VARIANT, Silent()).read_bytes()


def test_a_driver_that_allocates_to_send_fails_under_memory_pressure(tmp_path: Path, state: Path) -> None:
    with sends_through_a_driver_that_allocates(A, tmp_path) as rack:
        code, decision = qualify(tmp_path, state, "--hours", "0.01", "--stages", "inspect,links,pressure", rack=rack)
    found = [check for check in failed(decision) if check["hosts"] == [A, B]]
    assert code == 1 and {check["stage"] for check in failed(decision)} == {"pressure"}, failed(decision)
    assert "its control survived" in found[0]["reason"] and found[0]["remedy"] == "driver and hardware of the link"
