"""Guests for work by hand, as a user has them: the real command, one real guest, the system's own ssh and scp."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from harness.state.locks import read_record
from harness.state.sandboxes import Sandbox, sandboxes
from harness.state.state import OWNER, StateDir

INVENTORY = """\
[[host]]
name = "alone"
memory = "256 MiB"
cpus = 2
[[topology]]
name = "single"
roles = { client = "alone", server = "alone" }
"""
UP_S = 300


@pytest.fixture
def hand(state: Path, tmp_path: Path) -> Iterator[Path]:
    """A folder with an inventory, in which nothing is up afterwards."""
    (tmp_path / "own.toml").write_text(INVENTORY)
    yield tmp_path
    for sandbox in sandboxes(StateDir(state)):
        harness(tmp_path, state, "down", sandbox.name)


def harness(folder: Path, state: Path, *arguments: str, input: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HARNESS_STATE": str(state), "HARNESS_INVENTORY": str(folder / "own.toml")}
    command = [sys.executable, "-m", "harness.cli", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, input=input, text=True, capture_output=True, timeout=UP_S
    )


def qemu_of(state: Path) -> list[psutil.Process]:
    found = psutil.process_iter(["name", "cmdline"])
    return [
        process
        for process in found
        if (process.info["name"] or "").startswith("qemu-system")
        and str(state) in " ".join(process.info["cmdline"] or ())
    ]


def runs_of(state: Path) -> list[Path]:
    """What commands left of runs; where this process keeps its own connection to libvirt is none of them."""
    return [run for run in StateDir(state).runs() if read_record(run / OWNER).get("pid") != os.getpid()]


def typed(sandbox: Sandbox, line: str, awaited: bytes) -> bytes:
    """What the console of `alone` shows from a typed line to what is awaited."""
    with socket.socket(socket.AF_UNIX) as port:
        port.settimeout(60)
        port.connect(str(sandbox.port("alone")))
        port.sendall(line.encode() + b"\n")
        shown = b""
        while awaited not in shown and (data := port.recv(4096)):
            shown += data
    return shown


def test_a_guest_is_there_until_it_is_taken_down(hand: Path, state: Path) -> None:
    up = harness(hand, state, "up", "--storage", "nbd")
    assert up.returncode == 0, up.stderr
    assert "alone" in up.stdout and "harness ssh alone" in up.stdout and "/dev/nbd0" in up.stdout
    (sandbox,) = sandboxes(StateDir(state))

    release = sandbox.read()["hosts"][0]["kernel"]
    named = harness(hand, state, "ssh", "alone", "uname -r; exit 3")
    assert (named.stdout.strip(), named.returncode) == (release, 3)
    assert harness(hand, state, "ssh", "client", "cat", input="typed").stdout == "typed"
    assert harness(hand, state, "ssh", "alone", "blockdev --getsize64 /dev/nbd0").stdout.strip() != "0"

    (hand / "sent").write_text("a file\n")
    (hand / "config").write_text(harness(hand, state, "ssh", "alone", "--print-config").stdout)
    scp = ["scp", "-q", "-F", str(hand / "config")]
    subprocess.run([*scp, str(hand / "sent"), "alone:/tmp/sent"], check=True, timeout=60)
    subprocess.run([*scp, "alone:/tmp/sent", str(hand / "back")], check=True, timeout=60)
    assert (hand / "back").read_text() == "a file\n"

    assert b"= 42 =" in typed(sandbox, "echo = $((6 * 7)) =", b"= 42 =")
    assert "= 42 =" in harness(hand, state, "logs", "alone").stdout

    down = harness(hand, state, "down")
    assert down.returncode == 0
    assert "storage taken down\nended alone\n" in down.stdout
    assert not qemu_of(state) and not sandbox.path.exists() and not runs_of(state), down.stdout


@pytest.mark.slow
def test_what_a_killed_supervisor_leaves_is_found_and_removed(hand: Path, state: Path) -> None:
    assert harness(hand, state, "up").returncode == 0
    (sandbox,) = sandboxes(StateDir(state))
    psutil.Process(sandbox.read()["pid"]).kill()
    while sandbox.alive:
        time.sleep(0.1)
    assert len(qemu_of(state)) == 1, "the guest outlives it"
    clean = harness(hand, state, "clean")
    assert "ended qemu-system-x86_64" in clean.stdout and f"sandbox single: removed {sandbox.path}" in clean.stdout
    assert not qemu_of(state) and not runs_of(state)


@pytest.mark.slow
def test_a_command_has_a_guest_for_itself(hand: Path, state: Path) -> None:
    done = harness(hand, state, "up", "--", "sh", "-c", "cat; echo to stderr >&2; exit 5", input="through")
    assert (done.stdout, done.returncode) == ("through", 5)
    assert done.stderr.endswith("ended alone\n") and "to stderr\n" in done.stderr
    assert not qemu_of(state) and not runs_of(state)
