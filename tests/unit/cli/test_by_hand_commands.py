"""`harness up`, `ssh`, `console`, `logs` and `down`: what they make of their arguments."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.cli import call
from harness.cli.up import STORAGES
from harness.model.errors import BootError
from harness.model.topology import MIB
from harness.sandbox import storages
from harness.sandbox.guests import SandboxRequest
from harness.state.sandboxes import Sandbox, create
from harness.state.state import StateDir
from harness.storage.nfs import NfsDisk

Capture = pytest.CaptureFixture[str]
INVENTORY = """\
[[host]]
name = "front"
memory = "256 MiB"
[[host]]
name = "back"
memory = "128 MiB"
[[topology]]
name = "pair"
roles = { client = "front", server = "back" }
links = [{ name = "cluster", hosts = ["front", "back"] }]
[[topology]]
name = "lonely"
roles = { client = "front" }
"""
HOSTS = [
    {
        "name": name,
        "roles": [role],
        "kernel": "6.1.0",
        "memory": 256 * MIB,
        "cpus": 2,
        "addresses": found,
        "login": "127.0.0.1",
        "port": 2001,
    }
    for name, role, found in (("front", "client", ["10.77.0.1"]), ("back", "server", []))
]


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StateDir]:
    """An empty folder to be in, with an inventory, and a state folder with a short path."""
    folder = Path(tempfile.mkdtemp(prefix="hc-", dir="/tmp"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARNESS_STATE", str(folder))
    monkeypatch.setenv("HARNESS_INVENTORY", str(tmp_path / "own.toml"))
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "own.toml").write_text(INVENTORY)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    yield StateDir(folder)
    shutil.rmtree(folder)


@pytest.fixture
def sandbox(state: StateDir) -> Iterator[Sandbox]:
    """A sandbox that this process holds."""
    sandbox, lock = create(state, "pair")
    sandbox.write({"hosts": HOSTS, "storage": {"about": "NFS mount", "place": "/mnt/load"}})
    sandbox.ssh_config.write_text("Host front\n")
    sandbox.console("front").write_text("Linux version\n")
    sandbox.console("back").write_text("systemless\n")
    yield sandbox
    os.close(lock)


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[tuple[SandboxRequest, str | None]]:
    """What would have been booted, and for which command; no machine is made."""
    made: list[tuple[SandboxRequest, str | None]] = []

    def start(request: SandboxRequest, note: Callable[[str], None]) -> Sandbox:
        made.append((request, None))
        note("booting")
        sandbox, lock = create(StateDir(request.settings.state), request.topology.name)
        sandbox.write({"hosts": HOSTS, "storage": {"about": "NFS mount", "place": "/mnt/load"}})
        os.close(lock)
        return sandbox

    def run_once(request: SandboxRequest, command: str, note: Callable[[str], None]) -> int:
        made.append((request, command))
        return 7

    monkeypatch.setattr("harness.guests.provider.kernels_for", lambda *_: {})
    monkeypatch.setattr("harness.guests.provider.machines_for", lambda *_: {})
    monkeypatch.setattr("harness.sandbox.start.start", start)
    monkeypatch.setattr("harness.sandbox.once.run_once", run_once)
    return made


def test_up_says_who_is_there_and_how_to_get_in(
    requests: list[tuple[SandboxRequest, str | None]], capsys: Capture
) -> None:
    assert call(["up", "pair", "--storage", "nfs", "--memory", "300M", "--role", "client"]) == 0
    ((request, _),) = requests
    assert [host.memory // MIB for host in request.topology.hosts] == [300, 128]
    assert request.storage == NfsDisk()
    captured = capsys.readouterr()
    assert captured.err == "booting\n"
    heading, front, back, storage, rest = captured.out.splitlines()
    assert heading.split() == ["host", "roles", "kernel", "memory", "cpus", "address", "get", "in"]
    assert front.split() == ["front", "client", "6.1.0", "256", "MiB", "2", "10.77.0.1", "harness", "ssh", "front"]
    assert "127.0.0.1 port 2001" in back
    assert storage == "storage: NFS mount: /mnt/load"
    assert "harness down pair" in rest


def test_the_help_names_every_storage() -> None:
    assert ", ".join(storages.STORAGES) == STORAGES


@pytest.mark.parametrize(
    ("arguments", "topology", "command"),
    [
        (["pair", "--exec", "uname -r | cat"], "pair", "uname -r | cat"),
        (["lonely", "--", "uname -r; free -m"], "lonely", "uname -r; free -m"),
        (["lonely", "--", "grep", "-c", "'a b'", "--exec"], "lonely", "grep -c 'a b' --exec"),
        (["--exec", "true", "pair"], "pair", "true"),
    ],
)
def test_a_command_runs_on_guests_of_its_own(
    requests: list[tuple[SandboxRequest, str | None]], arguments: list[str], topology: str, command: str
) -> None:
    assert call(["up", *arguments]) == 7, "the exit code is the command's"
    ((request, given),) = requests
    assert (request.topology.name, given) == (topology, command)


def test_guests_for_a_command_do_not_mind_a_camp_of_that_name(
    sandbox: Sandbox, requests: list[tuple[SandboxRequest, str | None]], capsys: Capture
) -> None:
    assert call(["up", "pair", "--", "true"]) == 7
    assert call(["up", "pair"]) == 2
    assert "'pair' is up already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["up"], "which topology? "),
        (["up", "pear"], "no topology 'pear'"),
        (["up", "pair", "--storage", "nsf"], "no storage 'nsf', did you mean 'nfs'?"),
        (["up", "lonely", "--storage", "nfs"], "needs the role 'server'"),
        (["up", "pair", "--role", "clint"], "no role 'clint'"),
        (["up", "pair", "--"], "the command to run is empty"),
        (["up", "pair", "--exec", "a", "--", "b"], "both name a command"),
        (["up", "pair", "extra"], "extra"),
        (["ssh", "front"], "no host 'front' is up; `harness up` boots some"),
        (["console", "front"], "no host 'front' is up"),
        (["logs"], "nothing is up"),
        (["down", "pair"], "nothing is up"),
    ],
)
def test_a_mistake_by_hand_is_one_line(
    requests: list[tuple[SandboxRequest, str | None]], capsys: Capture, arguments: list[str], message: str
) -> None:
    assert call(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("harness: ") and message in line
    assert not requests


def test_guests_that_do_not_come_up_are_exit_code_2(
    requests: list[tuple[SandboxRequest, str | None]], monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def fail(request: SandboxRequest, note: object) -> Sandbox:
        raise BootError(host="front", problem="its kernel panicked", console_tail="Oops")

    monkeypatch.setattr("harness.sandbox.start.start", fail)
    assert call(["up", "pair"]) == 2
    assert "front: its kernel panicked" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["front"], ["front"]),
        (["client", "uname", "-a"], ["front", "uname", "-a"]),
        (["pair/back", "-t", "top", "-h"], ["back", "-t", "top", "-h"]),
    ],
)
def test_ssh_becomes_the_systems_own(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: list[str]
) -> None:
    became: list[list[str]] = []
    monkeypatch.setattr("os.execvp", lambda file, command: became.append(command))
    call(["ssh", *arguments])
    assert became == [["ssh", "-F", str(sandbox.ssh_config), *words]]


@pytest.mark.parametrize("arguments", [["front", "--print-config"], ["--print-config", "front"]])
def test_ssh_prints_its_configuration(sandbox: Sandbox, capsys: Capture, arguments: list[str]) -> None:
    assert call(["ssh", *arguments]) == 0
    assert capsys.readouterr().out == "Host front\n"


def test_a_machine_without_ssh_is_told_what_to_install(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert call(["ssh", "front"]) == 2
    assert "install openssh-client" in capsys.readouterr().err


def test_logs_of_one_host_and_of_all(sandbox: Sandbox, capsys: Capture) -> None:
    assert call(["logs", "front"]) == 0
    assert capsys.readouterr().out == "Linux version\n"
    assert call(["logs"]) == 0
    assert capsys.readouterr().out == "front: Linux version\nback: systemless\n"


def test_a_console_needs_a_terminal(sandbox: Sandbox, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    monkeypatch.setattr("harness.cli.console.KEYBOARD", reader)
    assert call(["console", "front"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "use `harness logs HOST -f` or `harness ssh HOST`" in line
    os.close(reader)
    os.close(writer)


def test_down_with_nothing_up_is_no_failure(capsys: Capture) -> None:
    assert call(["down"]) == 0
    assert capsys.readouterr().out == "nothing is up\n"


def test_down_of_a_dead_one_leaves_the_others_alone(sandbox: Sandbox, state: StateDir, capsys: Capture) -> None:
    dead, lock = create(state, "lonely")
    os.close(lock)
    assert call(["down", "lonely"]) == 0
    assert not dead.path.exists() and sandbox.alive
    assert call(["down", "lonely"]) == 2
    assert "'lonely' is not up; up are: pair" in capsys.readouterr().err


def test_down_removes_what_a_killed_supervisor_left(state: StateDir, capsys: Capture) -> None:
    sandbox, lock = create(state, "pair")
    os.close(lock)
    assert call(["down", "pair"]) == 0
    assert f"sandbox pair: removed {sandbox.path}" in capsys.readouterr().out
    assert not sandbox.path.exists()
