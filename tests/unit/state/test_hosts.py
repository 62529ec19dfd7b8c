"""Owned hosts in the state folder: one process at a time, and quarantine."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.model.clock import Deadline
from harness.model.errors import InfraError
from harness.state.hosts import HostFiles
from harness.state.state import StateDir

KEY = "ssh-ed25519 AAAA"
HOLD = """\
import sys
from pathlib import Path
from harness.model.clock import Deadline
from harness.state.hosts import HostFiles
from harness.state.state import StateDir
with HostFiles(StateDir(Path(sys.argv[1])), "m1", "ssh-ed25519 AAAA").held("a case", Deadline.after(5), print):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def files(tmp_path: Path) -> HostFiles:
    """The files of a host that nobody uses."""
    return HostFiles(StateDir(tmp_path), "m1", KEY)


@contextmanager
def held_by_another(folder: Path) -> Iterator[subprocess.Popen[str]]:
    argv = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_one_process_has_it_and_the_others_are_told_who(files: HostFiles, tmp_path: Path) -> None:
    said: list[str] = []
    assert files.holder() == ""
    with held_by_another(tmp_path) as process:
        assert f"pid {process.pid}" in files.holder()
        with pytest.raises(InfraError, match="did not become free"), files.held("x", Deadline.after(0.0), said.append):
            pass
        assert said == []
    with files.held("x", Deadline.after(5.0), said.append):
        assert "pid" in files.holder()
    assert files.holder() == ""


def test_a_host_of_the_same_name_with_another_key_is_another(files: HostFiles) -> None:
    other = HostFiles(files.state, "m1", "ssh-ed25519 BBBB")
    with files.held("x", Deadline.after(5.0), print), other.held("x", Deadline.after(5.0), print):
        assert files.holder() and other.holder()
    files.put_in_quarantine("it smokes")
    assert other.quarantine is None


def test_the_comment_of_a_key_makes_no_difference(files: HostFiles) -> None:
    files.put_in_quarantine("it smokes")
    assert HostFiles(files.state, "m1", f"{KEY} root@m1").quarantine is not None


def test_a_host_stays_in_quarantine_until_somebody_ends_it(files: HostFiles) -> None:
    assert not files.end_quarantine()
    files.put_in_quarantine("it did not come back", "/results/x")
    found = files.quarantine
    assert found is not None and (found.reason, found.evidence) == ("it did not come back", "/results/x")
    assert found.since > 1e9
    assert files.end_quarantine()
    assert HostFiles(files.state, "m1", KEY).quarantine is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"reason": "x", "since": "y", "evidence": ""}'])
def test_a_damaged_record_is_a_quarantine_as_well(files: HostFiles, text: str) -> None:
    files.put_in_quarantine("x")
    (path,) = (files.state.path / "hosts").glob("*.quarantine")
    path.write_text(text)
    assert files.quarantine is not None and "cannot be read" in files.quarantine.reason
