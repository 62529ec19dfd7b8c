"""A look at a host: what is asked of it, and how a host that does not answer is put into words."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from surveys import survey

from harness.drivers.protocols import Completed
from harness.drivers.ssh import SshAddress, quote
from harness.model.clock import Deadline
from harness.model.errors import InfraError, ShellError
from harness.model.owned_host import ConsoleSpec, OwnedHost
from harness.model.topology import Host
from harness.physical import inspection
from harness.physical.inspection import Inspection, inspect_all
from harness.physical.session import missing_modules
from harness.physical.survey import RDMA

SPEC = OwnedHost(address="192.0.2.11", host_key="ssh-ed25519 AAAA", disposable=True)
HOST = Host(name="ib1", memory=0, owned=SPEC)


@dataclass
class Shell:
    """A host with the module nbd, that answers with a survey; or one whose login is refused."""

    problem: str = ""
    commands: list[str] = field(default_factory=list)

    def run(self, command: str, *arguments: object, deadline: Deadline, check: bool = True) -> Completed:
        text = quote(command, arguments)
        self.commands.append(text)
        if self.problem:
            raise ShellError(host="ib1", command=text, problem=self.problem)
        said = json.dumps(survey().to_dict()) if command.startswith("python3") else "\n\n0\n\n"
        if RDMA.read_text() in arguments:
            said = json.dumps(survey().rdma.to_dict())
        lacks = command.startswith("modprobe") and arguments[0] != "nbd"
        return Completed(command=text, exit_code=int(lacks), stdout=said, stderr="")

    def put(self, source: object, target: str, *, deadline: Deadline, mode: int = 0o644) -> None:
        raise NotImplementedError

    def close(self) -> None:
        pass


def inspected(monkeypatch: pytest.MonkeyPatch, shell: Shell, **given: Any) -> Inspection:
    def make(address: SshAddress) -> Shell:
        assert address.name == "192.0.2.11"
        return shell

    monkeypatch.setattr(inspection, "FabricShell", make)
    monkeypatch.setattr(inspection, "read_boot_facts", lambda shell, deadline: None)
    monkeypatch.setattr(inspection, "refusal", lambda facts: "")
    (found,) = inspect_all([HOST], in_use=False, **given)
    return found


def test_it_looks_for_programs_and_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    shell = Shell()
    found = inspected(monkeypatch, shell, programs=("smbd", "nvme"), modules=("CONFIG_SWAP", "nbd", "nvmet"))
    assert found.no_modules == ("nvmet",) and found.survey == survey()
    assert any(command.startswith("python3") and command.endswith(" smbd nvme") for command in shell.commands)


def test_a_host_that_does_not_answer_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    found = inspected(monkeypatch, Shell(problem="SSH: Connection refused"), modules=("nbd",))
    assert found.against == ("host ib1: SSH: Connection refused",)
    assert found.survey is None and not found.is_usable


def test_options_of_a_kernel_are_not_looked_up() -> None:
    shell = Shell()
    assert missing_modules(shell, ("CONFIG_SWAP", "nbd", "nvmet"), Deadline.after(60.0)) == ["nvmet"]
    assert not any("CONFIG" in command for command in shell.commands)


@pytest.mark.parametrize(
    ("driver", "problem", "words"),
    [
        ("none", "", "none in the inventory"),
        ("netconsole", "", "netconsole, which this machine only listens to"),
        ("telnet", "", "telnet can be opened"),
        ("telnet", "the console of ib1 does not answer", "no answer"),
    ],
)
def test_its_console_is_tried(monkeypatch: pytest.MonkeyPatch, driver: str, problem: str, words: str) -> None:
    class Stream:
        def close(self) -> None:
            opened.append("closed")

    def open_console(*_: object, **__: object) -> Stream:
        opened.append("opened")
        if problem:
            raise InfraError(problem)
        return Stream()

    opened: list[str] = []
    monkeypatch.setattr(inspection, "open_console", open_console)
    monkeypatch.setattr(inspection, "owned", lambda host: replace(SPEC, console=ConsoleSpec(driver=driver)))
    found = inspected(monkeypatch, Shell())
    assert found.console == words and found.to_dict()["console"] == words
    assert [line for line in found.against if "console" in line] == ([problem] if problem else [])
    assert opened == ([] if driver != "telnet" else ["opened"] if problem else ["opened", "closed"])
