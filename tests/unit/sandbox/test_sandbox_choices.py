"""Which topology, which sandbox and which host are meant; storages by name; the files for ssh."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import paramiko
import pytest
from fakes import make_topology

from harness.drivers.ssh import SshAddress
from harness.inventory.inventory import Inventory
from harness.model.errors import UsageError
from harness.model.options import Options
from harness.model.settings import Settings
from harness.sandbox.choose import (
    SHIPPED,
    choose_host,
    choose_sandbox,
    choose_topology,
    consoles_of,
    inventory_file,
)
from harness.sandbox.secure_shell import command_line, write_config
from harness.sandbox.storages import STORAGES, kernel_needs, place_of, storage_of
from harness.state.sandboxes import create, remove, remove_dead, sandboxes
from harness.state.state import StateDir

PAIR = [{"name": "front", "roles": ["client"]}, {"name": "back", "roles": ["server"]}]
SINGLE = [{"name": "alone", "roles": ["client", "server"]}]
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILnOMsIcE3Zn0V0sAzbHs1f4sOvSgw2s6zC2Yxcl7G0d"


@pytest.fixture
def state() -> Iterator[StateDir]:
    import shutil
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="hc-", dir="/tmp"))
    yield StateDir(folder)
    shutil.rmtree(folder)


@pytest.fixture
def both(state: StateDir) -> Iterator[StateDir]:
    """Two sandboxes, held by this process."""
    held = []
    for name, hosts in (("pair", PAIR), ("single", SINGLE)):
        sandbox, lock = create(state, name)
        sandbox.write({"hosts": hosts})
        held.append(lock)
    yield state
    for lock in held:
        os.close(lock)


def inventory(*names: str) -> Inventory:
    return Inventory(path=Path("local.toml"), topologies={name: replace(make_topology(), name=name) for name in names})


def options(named: Path | None) -> Options:
    settings = Settings(state=Path("s"), cache=Path("c"), results=Path("r"))
    return Options(settings=settings, inventory=named)


@pytest.mark.parametrize(
    ("names", "wanted", "chosen"),
    [
        (("pair",), None, "pair"),
        (("pair", "single"), None, "single"),
        (("pair", "single"), "pair", "pair"),
    ],
)
def test_the_topology_that_is_meant(names: tuple[str, ...], wanted: str | None, chosen: str) -> None:
    assert choose_topology(inventory(*names), wanted).name == chosen


def test_where_it_is_not_clear_the_topologies_are_listed() -> None:
    with pytest.raises(UsageError, match=r"which topology\? local.toml has: a, b"):
        choose_topology(inventory("a", "b"), None)
    with pytest.raises(UsageError, match="no topology"):
        choose_topology(inventory("a", "b"), "c")


def test_without_an_inventory_the_one_that_comes_with_the_harness_counts() -> None:
    assert inventory_file(options(None)) == SHIPPED
    assert SHIPPED.is_file()
    assert inventory_file(options(Path("own.toml"))) == Path("own.toml")


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("front", ("pair", "front")),
        ("alone", ("single", "alone")),
        ("pair/client", ("pair", "front")),
        ("single/server", ("single", "alone")),
    ],
)
def test_a_host_by_name_or_role(both: StateDir, wanted: str, found: tuple[str, str]) -> None:
    sandbox, host = choose_host(both, wanted)
    assert (sandbox.name, host) == found


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("client", "which host 'client'? pair/front, single/alone"),
        ("nobody", "no host 'nobody' is up; there are: pair/front, pair/back, single/alone"),
        ("pair/alone", "no host 'pair/alone' is up"),
    ],
)
def test_a_host_that_is_not_clear_is_a_mistake_that_lists_them(both: StateDir, wanted: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        choose_host(both, wanted)
    assert message in str(caught.value)


def test_a_sandbox_by_name(both: StateDir) -> None:
    assert choose_sandbox(both, "pair").name == "pair"
    with pytest.raises(UsageError, match=r"which topology\? Up are: pair, single"):
        choose_sandbox(both, None)
    with pytest.raises(UsageError, match="'x' is not up; up are: pair, single"):
        choose_sandbox(both, "x")


def test_with_nothing_up_the_way_to_begin_is_said(state: StateDir) -> None:
    for choose in (lambda: choose_sandbox(state, None), lambda: consoles_of(state, None)):
        with pytest.raises(UsageError, match="nothing is up; `harness up` boots guests"):
            choose()
    with pytest.raises(UsageError, match="no host 'x' is up; `harness up` boots some"):
        choose_host(state, "x")


def test_consoles_of_one_host_and_of_all(both: StateDir) -> None:
    assert list(consoles_of(both, "front")) == ["front"]
    assert list(consoles_of(both, None)) == ["pair/front", "pair/back", "single/alone"]


def test_a_sandbox_that_nobody_holds_is_not_there_and_is_removed(state: StateDir) -> None:
    sandbox, lock = create(state, "pair")
    sandbox.write({"hosts": PAIR})
    os.close(lock)
    assert sandboxes(state) == []
    (line,) = remove_dead(state)
    assert line.startswith(f"sandbox pair: removed {sandbox.path}, left by pid {os.getpid()}")
    assert not sandbox.path.exists() and remove_dead(state) == []


def test_a_new_camp_finds_nothing_of_a_dead_one(state: StateDir) -> None:
    sandbox, lock = create(state, "pair")
    sandbox.write({"hosts": PAIR})
    os.close(lock)
    again, lock = create(state, "pair")
    assert again.alive and again.read() == {}
    remove(state, again, lock)
    assert not again.path.exists()


@pytest.mark.parametrize("name", STORAGES)
def test_every_storage_has_a_place_for_a_load(name: str) -> None:
    storage = storage_of(name, make_topology())
    assert storage.describe()
    assert place_of(storage).startswith("/")


def test_what_a_storage_needs_of_the_kernels_goes_by_host() -> None:
    needs = kernel_needs(storage_of("nfs", make_topology()), make_topology())
    assert "nfsd" in needs["s1"] and "nfsd" not in needs["c1"]
    alone = replace(make_topology(), roles={"client": "c1", "server": "c1"})
    assert {"nfsd", *needs["c1"]} <= set(kernel_needs(storage_of("nfs", alone), alone)["c1"])
    assert kernel_needs(None, make_topology()) == {}


def test_a_storage_that_there_is_not() -> None:
    with pytest.raises(UsageError, match=r"no storage 'nsf', did you mean 'nfs'\?; there are: aoe, aoe-swap, ganesha"):
        storage_of("nsf", make_topology())


def test_a_topology_that_has_no_room_for_storage() -> None:
    with pytest.raises(UsageError, match="--storage nfs needs the role 'server'; topology 'pair' has: client"):
        storage_of("nfs", replace(make_topology(), roles={"client": "c1"}))
    with pytest.raises(UsageError, match="topology 'pair' has no link between c1 and s1"):
        storage_of("nfs", replace(make_topology(), links=()))


def test_ssh_finds_port_key_and_host_key_in_the_files(tmp_path: Path) -> None:
    config, known_hosts = tmp_path / "ssh_config", tmp_path / "known_hosts"
    addresses = [
        SshAddress(host=name, name="127.0.0.1", port=port, key_file=tmp_path / "id", host_key=KEY)
        for name, port in (("front", 2001), ("back", 2002))
    ]
    write_config("pair", addresses, config, known_hosts)
    read: dict[str, Any] = paramiko.SSHConfig.from_path(str(config)).lookup("back")
    wanted: dict[str, Any] = {"hostname": "127.0.0.1", "port": "2002", "user": "root", "stricthostkeychecking": "yes"}
    assert wanted.items() <= read.items()
    assert read["identityfile"] == [str(tmp_path / "id")]
    assert read["userknownhostsfile"] == str(known_hosts)
    known = paramiko.HostKeys(str(known_hosts)).lookup(read["hostkeyalias"])
    assert known is not None and known["ssh-ed25519"].get_base64() == KEY.split()[1]
    assert command_line(config, "back", ["-t", "top"]) == ["ssh", "-F", str(config), "back", "-t", "top"]
