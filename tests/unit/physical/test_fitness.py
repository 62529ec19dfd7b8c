"""Which rows an owned host could run: what each lacks, and how it is counted."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from surveys import survey

from harness.drivers.protocols import Console, NmiInjector, Pausable, Power
from harness.model.owned_host import ConsoleSpec, OwnedHost, PowerSpec
from harness.model.topology import Host
from harness.physical.fitness import Part, Row, fitness, wanted
from harness.physical.inspection import Inspection

SPEC = OwnedHost(
    address="192.0.2.11",
    host_key="ssh-ed25519 AAAA",
    scratch="/dev/disk/by-id/x",
    power=PowerSpec(driver="command"),
    console=ConsoleSpec(driver="telnet"),
    links={"fabric": "ib0"},
)
SEEN = Inspection(
    name="ib1",
    survey=survey(programs=("nbd-client",)),
    reserved="free",
    power="on",
    console="none",
    kexec="possible",
    against=(),
    no_modules=("nvmet",),
)


def host(kernel: str = "owner", **changes: Any) -> Host:
    return Host(name="ib1", memory=0, kernel=kernel, owned=replace(SPEC, **changes))


def lacks(part: Part, on: Host | None = None, **seen: Any) -> tuple[str, ...]:
    found = fitness([Row(name="row", parts=(part,))], on or host(), replace(SEEN, **seen))
    return found.rows["row"]["client"]


def part(**needs: Any) -> Part:
    return Part(roles=("client",), **needs)


def test_a_host_that_has_everything() -> None:
    needs = part(
        capabilities=(Power, Console), programs=("nbd-client",), modules=("nbd", "CONFIG_SWAP"), links=1, scratch=True
    )
    assert lacks(needs) == ()


@pytest.mark.parametrize(
    ("needs", "lack"),
    [
        ({"capabilities": (Pausable,)}, "Pausable (needs a guest)"),
        ({"capabilities": (NmiInjector,)}, "NmiInjector (needs power over IPMI or Redfish)"),
        ({"programs": ("nbd-server",)}, "program nbd-server"),
        ({"modules": ("nvmet",)}, "module nvmet"),
        ({"links": 2}, "link 2 of 2"),
        ({"shared_disk": True}, "a shared disk (needs a guest)"),
        ({"own_modules": True}, "a kernel of the run, for its own modules"),
    ],
)
def test_each_lack(needs: dict[str, Any], lack: str) -> None:
    assert lacks(part(**needs)) == (lack,)


@pytest.mark.parametrize(
    ("changes", "needs", "lack"),
    [
        ({"power": None}, {"capabilities": (Power,)}, "Power (needs power)"),
        ({"console": ConsoleSpec(driver="netconsole")}, {"capabilities": (Console,)}, "Console (needs a console)"),
        ({"scratch": ""}, {"scratch": True}, "a scratch disk"),
        ({"links": {}}, {"links": 1}, "a link"),
    ],
)
def test_what_the_inventory_could_add(changes: dict[str, Any], needs: dict[str, Any], lack: str) -> None:
    assert lacks(part(**needs)) == ()
    assert lacks(part(**needs), host(**changes)) == (lack,)


def test_a_kernel_of_the_run_has_its_own_modules_and_comes_by_kexec() -> None:
    needs = part(modules=("nvmet",), own_modules=True)
    assert lacks(needs, host("debian:12")) == ()
    assert lacks(needs, host("debian:12"), kexec="kexec is not installed") == ("kexec",)
    assert lacks(replace(needs, own_kernel=True)) == ()
    assert lacks(replace(needs, own_kernel=True), kexec="kexec is not installed") == ("kexec",)
    assert lacks(needs, host("installed:6.1.0")) == ("a kernel of the run, for its own modules",)


ROWS = (
    Row(name="fits", parts=(part(),)),
    Row(name="serves", parts=(part(links=2), Part(roles=("server",)))),
    Row(
        name="least",
        parts=(part(capabilities=(Pausable,), links=2), Part(roles=("server",), programs=("nbd-server",))),
    ),
    Row(name="same", parts=(Part(roles=("client", "server"), programs=("nbd-server",)),)),
    Row(name="unknown", unknown="requires kvm: …"),
)


def test_rows_are_counted_where_the_host_lacks_least() -> None:
    found = fitness(ROWS, host(), SEEN)
    assert found.runs == 2
    assert found.by_role == {"client": 1, "server": 1, "client and server": 0}
    assert found.lacking == {"program nbd-server": 2, "requires kvm: …": 1}
    assert dict(found.lines()) == {
        "cases": "2 of 5 rows; the others lack: program nbd-server 2; requires kvm: … 1",
        "as client": "1 of 5 rows",
        "as server": "1 of 5 rows",
    }


def test_json_has_every_row() -> None:
    found = json.loads(json.dumps(fitness(ROWS, host(), SEEN).to_dict()))
    assert (found["rows"], found["runs"]) == (5, 2)
    assert found["row"]["serves"] == {"client": ["link 2 of 2"], "server": []}
    assert found["row"]["unknown"] == {"": ["requires kvm: …"]}


def test_what_is_looked_for_on_a_host() -> None:
    rows = (Row(name="a", parts=(part(programs=("b", "a"), modules=("m",)), part(programs=("a",)))),)
    assert wanted(rows) == (["a", "b"], ["m"])
    assert wanted(()) == ([], [])
