"""`harness enrol` and `harness inspect --cases`: options, questions, and what is written; the host is a survey."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from surveys import disk, interface, survey

from harness.cli import _group, call, enrol
from harness.cli.enrol_parts import part_of
from harness.fabric.hca import RdmaFacts
from harness.inventory.inventory import Inventory
from harness.model.errors import UsageError
from harness.model.owned_host import AgentSpec, ConsoleSpec, OwnedHost, PowerSpec, Secret
from harness.physical import enrol as look
from harness.physical import inspection
from harness.physical.enrol import ShownKey
from harness.physical.fitness import Row
from harness.physical.survey import HostSurvey
from harness.plugin import row_needs
from harness.providers import read_inventory

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPKljj1ErUnBA1yP5eG8s3V2QpK38cBSM+F/yxXEuqr1"
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIL4huXiVdWlQT2aYSdOQZH++UHxjb5R6ZoE94CuHgaeI"
RIGHT = "SHA256:right"
TRUSTED = ("--host-key-fingerprint", RIGHT)
IPMI = "driver=ipmi,address=192.0.2.111,user=admin,password-env=IB1_BMC"
Run = Callable[..., Result]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """An empty folder to be in, and a host: its key, its survey, and where it was asked for."""
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {"key": KEY, "survey": survey(hostname="ib1"), "asked": [], "terminal": False}

    def shown_key(spec: OwnedHost) -> ShownKey:
        found["asked"].append(spec)
        return ShownKey(key=found["key"], fingerprint=RIGHT)

    def first_look(spec: OwnedHost) -> HostSurvey:
        found["asked"].append(spec)
        seen: HostSurvey = found["survey"]
        return seen

    monkeypatch.setattr(look, "shown_key", shown_key)
    monkeypatch.setattr(look, "first_look", first_look)
    monkeypatch.setattr(enrol, "has_terminal", lambda: found["terminal"])
    return found


@pytest.fixture
def run(world: dict[str, Any]) -> Run:
    """Run `harness enrol 192.0.2.11`; with `answers`, at a terminal that gives them."""

    def go(*arguments: str, answers: list[str] | None = None) -> Result:
        world["terminal"] = answers is not None
        text = "".join(f"{line}\n" for line in answers or [])
        return CliRunner().invoke(_group, ["enrol", "192.0.2.11", *arguments], input=text)

    return go


def host_of(result: Result, folder: Path) -> tuple[dict[str, Any], OwnedHost]:
    """The table that was printed, and what the inventory makes of it."""
    assert result.exit_code == 0, result.output
    (folder / "printed.toml").write_text(result.stdout)
    inventory: Inventory = read_inventory(folder / "printed.toml")
    (host,) = inventory.hosts.values()
    assert host.owned is not None
    return tomllib.loads(result.stdout)["host"][0], host.owned


def test_without_a_terminal_nothing_is_trusted_silently(run: Run, world: dict[str, Any]) -> None:
    result = run()
    assert result.exit_code == 2 and "add --host-key-fingerprint SHA256:…" in result.stderr
    assert result.stderr.count("\n") == 1 and not world["asked"] and not result.stdout


def test_without_a_terminal_all_keeps_its_default(run: Run, world: dict[str, Any], tmp_path: Path) -> None:
    table, spec = host_of(run(*TRUSTED), tmp_path)
    assert table == {
        "name": "ib1",
        "kind": "physical",
        "address": "192.0.2.11",
        "host_key": KEY,
        "disposable": False,
        "boot_s": 900,
        "links": {"fabric": "ib0"},
        "expect": {
            "memory": "16 GiB",
            "driver": "mlx4_core",
            "rate": "40 Gb/sec (4X QDR)",
            "firmware": "2.42.5000",
        },
    }
    assert not spec.disposable and not spec.scratch and spec.power is None
    assert [asked.host_key for asked in world["asked"]] == ["", KEY]  # the login only with the key that was right


def test_what_the_owner_decides_upon_is_shown_apart_from_the_table(run: Run) -> None:
    result = run(*TRUSTED)
    assert "disk that nothing uses: vdb: 1 GiB, serial number vdb-serial" in result.stderr
    assert "card that does not carry SSH: ib0" in result.stderr and "eno1" not in result.stderr
    assert result.stdout.startswith("[[host]]\n")


def test_options_answer_everything(run: Run, world: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "key").write_text("")
    (tmp_path / "rack").mkdir()
    reach = ("--user", "owner", "--port", "2222", "--identity", "key", "--jump", "me@gate")
    say = ("--name", "lab7", "--disposable", "--scratch", "vdb", "--link", "cluster=ib0", "--boot-s", "300")
    parts = ("--power", IPMI, "--console", "driver=ipmi-sol", "--agent", "udp=7777")
    _, spec = host_of(run(*TRUSTED, *reach, *say, *parts), tmp_path / "rack")
    assert (spec.user, spec.ssh_port, spec.identity, spec.jump) == ("owner", 2222, str(tmp_path / "key"), "me@gate")
    assert spec.disposable and spec.boot_s == 300 and spec.links == {"cluster": "ib0"}
    assert (spec.scratch, spec.scratch_serial, spec.scratch_size) == (
        "/dev/disk/by-id/virtio-vdb-id",
        "vdb-serial",
        1 << 30,
    )
    password = Secret(kind="env", name="IB1_BMC")
    assert spec.power == PowerSpec(driver="ipmi", address="192.0.2.111", user="admin", password=password)
    assert spec.console == ConsoleSpec(driver="ipmi-sol") and spec.agent == AgentSpec(udp=7777)
    assert world["asked"][0].ssh_port == 2222 and world["asked"][0].identity == str(Path("key"))


def test_an_agent_behind_a_serial_port(run: Run, tmp_path: Path) -> None:
    text = "port=/dev/ttyS1,over-driver=telnet,over-address=192.0.2.9,over-port=7001,over-raw=true"
    _, spec = host_of(run(*TRUSTED, "--agent", text), tmp_path)
    over = ConsoleSpec(driver="telnet", address="192.0.2.9", port=7001, raw=True)
    assert spec.agent == AgentSpec(port="/dev/ttyS1", over=over)


def test_no_links_are_wanted(run: Run, tmp_path: Path) -> None:
    assert host_of(run(*TRUSTED, "--link", "-"), tmp_path)[1].links == {}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--host-key-fingerprint", "SHA256:wrong"), "the host shows SHA256:right (ssh-ed25519), not SHA256:wrong"),
        ((*TRUSTED, "--name", "Ib1"), "name: 'Ib1' is no name"),
        ((*TRUSTED, "--scratch", "vda"), "scratch vda: it is in use: mounted on /; disks that nothing uses: vdb"),
        ((*TRUSTED, "--link", "fabric=eno1"), "eno1 carries the SSH connection"),
        ((*TRUSTED, "--link", "fabric"), "'fabric' is no NAME=INTERFACE"),
        ((*TRUSTED, "--link", "a=ib0", "--link", "a=ib0"), "a is there twice"),
        ((*TRUSTED, "--power", "driver=impi"), "no power driver 'impi'; did you mean 'ipmi'?"),
        ((*TRUSTED, "--power", "ipmi"), "--power: 'ipmi' is no key=value"),
        ((*TRUSTED, "--power", IPMI.replace("password-env=IB1_BMC", "password=geheim")), "named, never given"),
        ((*TRUSTED, "--console", "driver=ipmi-sol"), "serial over LAN needs power over IPMI"),
        ((*TRUSTED, "--agent", "udp=http"), "udp"),
        ((*TRUSTED, "--boot-s", "3"), "boot_s: 3 is out of range"),
        ((*TRUSTED, "--identity", "nowhere"), "there is no file"),
    ],
)
def test_a_wrong_answer_is_one_line(run: Run, arguments: tuple[str, ...], problem: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2 and not result.stdout
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1 and problem in errors[0] and result.stderr.endswith(f"{errors[0]}\n")
    assert "geheim" not in result.stderr


ANSWERS = [
    "y",  # the key
    "Bad Name",
    "ib7",
    "y",  # disposable
    "vda",
    "vdb",
    "redfisch",
    "ipmi",
    "192.0.2.111",
    "admin",
    "env IB1_BMC",
    "6230",
    "",  # cipher
    "ipmi-sol",
    "/dev/ttyS1",
    "telnet",
    "192.0.2.9",
    "7001",
    "true",
    "soon",
    "600",
    "",  # ib0 keeps its name
]


def test_an_owner_is_asked_and_may_err(run: Run, tmp_path: Path) -> None:
    result = run(answers=ANSWERS)
    table, spec = host_of(result, tmp_path)
    assert f"192.0.2.11 shows the host key {RIGHT} (ssh-ed25519). Is that right?" in result.stderr
    for mistake in (
        "'Bad Name' is no name",
        "in use: mounted on /",
        "no power driver 'redfisch'",
        "'soon' is no number",
    ):
        assert mistake in result.stderr
    assert "ipmi: address, such as 192.0.2.111:" in result.stderr
    assert table["name"] == "ib7" and spec.disposable and spec.scratch_serial == "vdb-serial"
    password = Secret(kind="env", name="IB1_BMC")
    assert spec.power == PowerSpec(driver="ipmi", address="192.0.2.111", port=6230, user="admin", password=password)
    assert spec.console.driver == "ipmi-sol" and spec.boot_s == 600 and spec.links == {"fabric": "ib0"}
    assert spec.agent.over == ConsoleSpec(driver="telnet", address="192.0.2.9", port=7001, raw=True)


def test_an_owner_who_only_presses_enter_has_risked_nothing(run: Run, tmp_path: Path) -> None:
    _, spec = host_of(run(answers=["y", *[""] * 8]), tmp_path)
    assert not spec.disposable and not spec.scratch and spec.power is None and spec.console.driver == "none"
    refused = run(answers=[""])
    assert refused.exit_code == 2 and "was not confirmed" in refused.stderr and not refused.stdout


def test_a_link_that_the_owner_leaves_out(run: Run, tmp_path: Path) -> None:
    assert host_of(run(answers=["y", *[""] * 7, "-"]), tmp_path)[1].links == {}


def test_a_hostile_host_writes_neither_the_inventory_nor_to_the_terminal(
    run: Run, world: dict[str, Any], tmp_path: Path
) -> None:
    evil = '"]\nscratch = "/dev/sda'
    said = survey(
        hostname="\u202eevil",
        model=f"\x1b[2J{evil}",
        disks=(disk("vdb", serial=evil),),
        interfaces=(interface("eno1", is_management=True), interface("ib0", type="32", driver="\x1b]0;x\x07")),
        rdma=RdmaFacts(),
    )
    world["survey"] = said
    result = run(*TRUSTED, "--scratch", "vdb")
    table, spec = host_of(result, tmp_path)
    assert spec.scratch_serial == evil and table["scratch"] == "/dev/disk/by-id/virtio-vdb-id"
    assert all(char.isprintable() or char == "\n" for char in result.output)


def test_an_interface_with_an_impossible_name_is_refused(run: Run, world: dict[str, Any]) -> None:
    cards = (interface("eno1", is_management=True), interface('ib0"; x', type="32"))
    world["survey"] = survey(interfaces=cards)
    result = run(*TRUSTED)
    assert result.exit_code == 2 and "is no name of an interface" in result.stderr and not result.stdout


def test_append_makes_and_extends_a_file(run: Run, world: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "rack.toml"
    made = run(*TRUSTED, "--append", "rack.toml")
    assert made.exit_code == 0 and made.stdout == ""
    assert "next: harness inspect ib1 --inventory rack.toml" in made.stderr
    kept = file.read_text() + "# the owner's own words"
    file.write_text(kept)
    file.chmod(0o640)
    world["key"] = OTHER
    result = CliRunner().invoke(_group, ["enrol", "192.0.2.12", *TRUSTED, "--name", "ib2", "--append", "rack.toml"])
    assert result.exit_code == 0, result.output
    assert file.read_text().startswith(f"{kept}\n\n[[host]]\n") and file.stat().st_mode & 0o777 == 0o640
    assert list(read_inventory(file).hosts) == ["ib1", "ib2"]


@pytest.mark.parametrize(
    ("key", "arguments", "problem"),
    [
        (KEY, ("--name", "ib2"), "host ib1 has this key; a machine is in an inventory once"),
        (OTHER, (), "'ib1' is taken by host[0]"),
        (OTHER, ("--name", "ib2"), "is that of host[0]; a machine is in an inventory once"),
    ],
)
def test_append_refuses_what_is_there(
    run: Run, world: dict[str, Any], tmp_path: Path, key: str, arguments: tuple[str, ...], problem: str
) -> None:
    run(*TRUSTED, "--append", "rack.toml")
    before = (tmp_path / "rack.toml").read_bytes()
    world["key"] = key
    result = run(*TRUSTED, *arguments, "--append", "rack.toml")
    assert result.exit_code == 2 and problem in result.stderr
    assert (tmp_path / "rack.toml").read_bytes() == before and [path.name for path in tmp_path.iterdir()] == [
        "rack.toml"
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [("x = ", "is not TOML"), ("[[host]]\nname = 'a'\n", "memory: is missing"), (None, "directory")],
)
def test_append_leaves_a_file_that_is_no_inventory(run: Run, tmp_path: Path, text: str | None, problem: str) -> None:
    file = tmp_path / "rack.toml"
    file.mkdir() if text is None else file.write_text(text)
    result = run(*TRUSTED, "--append", "rack.toml")
    assert result.exit_code == 2 and problem in result.stderr
    assert text is None or file.read_text() == text


def test_append_into_no_folder(run: Run) -> None:
    result = run(*TRUSTED, "--append", "no/rack.toml")
    assert result.exit_code == 2 and "No such file" in result.stderr


def test_a_link_to_a_file_stays_one(run: Run, tmp_path: Path) -> None:
    (tmp_path / "lab").mkdir()
    (tmp_path / "rack.toml").symlink_to("lab/real.toml")
    assert run(*TRUSTED, "--append", "rack.toml").exit_code == 0
    assert (tmp_path / "rack.toml").is_symlink() and list(read_inventory(tmp_path / "lab/real.toml").hosts) == ["ib1"]


def test_values_with_commas_are_quoted() -> None:
    text = 'driver=command,"on=outlet 7,8 on",off=off,status=status'
    assert part_of(text, "--power") == {"driver": "command", "on": "outlet 7,8 on", "off": "off", "status": "status"}
    with pytest.raises(UsageError, match="no key=value"):
        part_of("driver=command,,", "--power")


def test_inspect_says_which_cases_a_host_could_run(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(*TRUSTED, "--append", "rack.toml")
    rows = [Row(name="a", unknown="requires kvm"), Row(name="b", unknown="requires kvm")]
    monkeypatch.setattr(row_needs, "rows_of", lambda paths, inventory: rows if paths == ["cases"] else [])

    def inspect_all(hosts: Any, **given: Any) -> list[inspection.Inspection]:
        return [
            inspection.Inspection(
                name=host.name,
                survey=survey(),
                reserved="free",
                power="on",
                console="none",
                kexec="possible",
                against=(),
            )
            for host in hosts
        ]

    monkeypatch.setattr(inspection, "inspect_all", inspect_all)
    arguments = ["inspect", "ib1", "--inventory", "rack.toml"]
    assert call([*arguments, "--cases", "cases"]) == 0
    assert "0 of 2 rows; the others lack: requires kvm 2" in capsys.readouterr().out
    assert call([*arguments, "--cases", "cases", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["cases"]["lacking"] == {"requires kvm": 2}
    assert call([*arguments, "--json"]) == 0 and "cases" not in json.loads(capsys.readouterr().out)


def test_help_names_it() -> None:
    result = CliRunner().invoke(_group, ["--help"])
    assert "enrol" in result.output and isinstance(enrol.enrol, click.Command)
