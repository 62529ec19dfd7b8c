"""The first look at a host: whatever goes wrong is one line for its owner."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest
from surveys import survey

from harness.drivers.protocols import Completed
from harness.drivers.ssh import SshAddress
from harness.model.clock import Deadline
from harness.model.errors import InfraError, ShellError, UsageError
from harness.model.owned_host import OwnedHost
from harness.physical import enrol
from harness.physical.enrol import ShownKey, first_look, shown_key
from harness.physical.survey import RDMA

SPEC = OwnedHost(address="192.0.2.11", host_key="ssh-ed25519 AAAA", user="owner", ssh_port=2222)


@dataclass
class Shell:
    """A login that answers with a survey, or is refused."""

    address: SshAddress
    problem: str = ""
    said: str = field(default_factory=lambda: json.dumps(survey().to_dict()))
    commands: list[str] = field(default_factory=list)
    closed: bool = False

    def run(self, command: str, *arguments: object, deadline: Deadline, check: bool = True) -> Completed:
        if self.problem:
            raise ShellError(host=self.address.host, command=command, problem=self.problem)
        self.commands.append(command)
        devices = json.dumps(survey().rdma.to_dict())
        said = devices if RDMA.read_text() in arguments else self.said
        return Completed(command=command, exit_code=0, stdout=said, stderr="")

    def close(self) -> None:
        self.closed = True


def looked(monkeypatch: pytest.MonkeyPatch, **given: str) -> list[Shell]:
    shells: list[Shell] = []

    def make(address: SshAddress) -> Shell:
        shells.append(Shell(address, **given))  # type: ignore[arg-type]  # texts only
        return shells[-1]

    monkeypatch.setattr(enrol, "FabricShell", make)
    return shells


def test_a_login_and_a_survey(monkeypatch: pytest.MonkeyPatch) -> None:
    shells = looked(monkeypatch)
    assert first_look(SPEC) == survey()
    (shell,) = shells
    assert shell.closed and shell.commands[0] == "true" and len(shell.commands) == 3
    assert (shell.address.name, shell.address.port, shell.address.user) == ("192.0.2.11", 2222, "owner")
    assert shell.address.host_key == SPEC.host_key


@pytest.mark.parametrize("problem", ["SSH refused the key /k", "sudo: a password is required; in sudoers(5) …"])
def test_a_login_that_is_refused_is_one_line(monkeypatch: pytest.MonkeyPatch, problem: str) -> None:
    shells = looked(monkeypatch, problem=problem)
    with pytest.raises(UsageError) as caught:
        first_look(SPEC)
    assert str(caught.value) == f"192.0.2.11: {problem}" and shells[0].closed


def test_an_answer_that_is_none_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    looked(monkeypatch, said="{}")
    with pytest.raises(UsageError, match="its survey is not understood") as caught:
        first_look(SPEC)
    assert "\n" not in str(caught.value)


def test_a_host_that_shows_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(address: SshAddress, *, deadline: Deadline) -> tuple[str, str]:
        raise InfraError(f"{address.name}: no host key: SSH: Connection refused")

    monkeypatch.setattr(enrol, "fetch_host_key", refuse)
    with pytest.raises(UsageError, match=r"^192\.0\.2\.11: no host key: SSH: Connection refused; is it up"):
        shown_key(SPEC)


def test_a_key_is_what_its_owner_says() -> None:
    key = ShownKey(key="ssh-ed25519 AAAA", fingerprint="SHA256:right")
    key.must_be("SHA256:right")
    with pytest.raises(UsageError, match=r"shows SHA256:right \(ssh-ed25519\), not SHA256:wrong"):
        key.must_be("SHA256:wrong")
