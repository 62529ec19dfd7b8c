"""`harness fabric`: what it says, its exit codes, and what it makes of files and of hosts that cannot be asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fabrics import NO_UMAD, WELL, Tools

from harness.cli import call

Capture = pytest.CaptureFixture[str]
INVENTORY = """\
[[host]]
name = "ib1"
kind = "physical"
address = "192.0.2.11"
host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBkh3m1mmqWgyP7QJYzYkW7c1tQkF2dJ5yZkq7d1y5Ff"
[[host]]
name = "guest"
memory = "128 MiB"
[[topology]]
name = "one"
roles = { client = "ib1" }
[[topology]]
name = "other"
roles = { client = "guest" }
"""
ONE_LINK = '0x02 "sw1"  3  8[  ] ==( 4X 10.0 Gbps Active/  LinkUp)==>  0x01  2  1[  ] "ib1" ( )\n'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HARNESS_INVENTORY", str(tmp_path / "rack.toml"))
    (tmp_path / "rack.toml").write_text(INVENTORY)
    return tmp_path


def answers(monkeypatch: pytest.MonkeyPatch, tools: Tools) -> None:
    monkeypatch.setattr("harness.drivers.ssh.FabricShell", lambda address: tools)


def well(monkeypatch: pytest.MonkeyPatch, **changes: str) -> None:
    answers(monkeypatch, Tools({**WELL, "iblinkinfo": ONE_LINK, "ibqueryerrors": "", **changes}))


def test_a_healthy_fabric_is_exit_code_0(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    well(monkeypatch)
    assert call(["fabric", "ib1"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said == ["ib1: 1 switches, 1 adapters, 1 links; subnet manager at LID 1, MASTER", "nothing is wrong"]


def test_what_is_wrong_is_exit_code_1(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    well(monkeypatch, sminfo="")
    assert call(["fabric", "ib1"]) == 1
    assert "\nmanager: no subnet manager answers" in capsys.readouterr().out


def test_a_recorded_fabric_is_compared_with(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    well(monkeypatch)
    assert call(["fabric", "ib1", "--record", "golden.json"]) == 0
    assert call(["fabric", "ib1", "--golden", "golden.json"]) == 0
    assert "as golden.json" in capsys.readouterr().out
    well(monkeypatch, iblinkinfo=ONE_LINK.replace("10.0 Gbps", "5.0 Gbps"))
    assert call(["fabric", "ib1", "--golden", "golden.json", "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    text = "ib1 port 1 – sw1 port 8 runs at 4X 5.0 Gbps, and did at 4X 10.0 Gbps"
    assert said["differences"] == [{"kind": "slower", "text": text}] and said["host"] == "ib1"
    assert said["fabric"]["links"][0]["width"] == "4X"


def test_a_sick_fabric_is_not_recorded(monkeypatch: pytest.MonkeyPatch, capsys: Capture, folder: Path) -> None:
    well(monkeypatch, sminfo="")
    assert call(["fabric", "ib1", "--record", "golden.json"]) == 2
    assert "--record golden.json: not recorded, since no subnet manager" in capsys.readouterr().err
    assert not (folder / "golden.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["guest"], "guest: a guest; fabric looks at hosts that somebody owns"),
        (["ib1", "--golden", "none.json"], "--golden none.json: "),
        (["ib1", "--golden", "rack.toml"], "--golden rack.toml: "),
        (["ib1", "--record", "no/such/place"], "--record no/such/place: No such file or directory; name another file"),
        (["ib1", "--record", "a", "--golden", "b"], "--golden and --record: name one of them"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    well(monkeypatch)
    assert call(["fabric", *arguments]) == 2
    said = capsys.readouterr()
    assert message in said.err and said.err.count("\n") == 1 and said.out == ""


def test_a_host_that_cannot_ask_is_exit_code_2(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    answers(monkeypatch, Tools(WELL, {"iblinkinfo": NO_UMAD}, {"iblinkinfo": 1}))
    assert call(["fabric", "ib1"]) == 2
    assert "host ib1: iblinkinfo cannot send MADs: ib_umad is not loaded" in capsys.readouterr().err


def test_a_name_cannot_reach_the_terminal(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    well(monkeypatch, iblinkinfo=ONE_LINK.replace("sw1", "\x1b[2J").replace("Active", "Initialize"))
    assert call(["fabric", "ib1"]) == 1
    assert "\x1b" not in capsys.readouterr().out
