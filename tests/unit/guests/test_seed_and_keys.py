"""What guests bring along and how they are reached: addresses, the seed archive, keys."""

from __future__ import annotations

import json
import lzma
import stat
from pathlib import Path

import pytest

from harness.drivers.ssh import read_key
from harness.guests.identity import cards_of
from harness.guests.keys import keys_of, make_key
from harness.guests.seed_archive import make_seed
from harness.model.errors import HostEnvironmentError
from harness.model.topology import MIB, Host, Link, Topology
from harness.site.addressing import address_of, own_module_path, peers

TOPOLOGY = Topology(
    name="three",
    hosts=tuple(Host(name=name, memory=256 * MIB) for name in ("a", "b", "c")),
    roles={"client": "a"},
    links=(
        Link(name="lan", hosts=("a", "b"), subnet="10.77.0.0/24"),
        Link(name="san", hosts=("b", "c", "a"), subnet="10.78.4.0/22"),
    ),
)


def unpacked(archive: bytes) -> dict[str, tuple[int, bytes]]:
    """Mode and content by name of a newc archive, read by its definition (initramfs buffer format)."""
    found: dict[str, tuple[int, bytes]] = {}
    at = 0
    while True:
        assert archive[at : at + 6] == b"070701"
        field = [int(archive[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        name = archive[at + 110 : at + 110 + field[11] - 1].decode()
        begin = at + (110 + field[11] + 3) // 4 * 4
        if name == "TRAILER!!!":
            return found
        found[name] = (field[1], archive[begin : begin + field[6]])
        at = begin + (field[6] + 3) // 4 * 4


def test_addresses_count_from_one_in_the_order_of_the_segment() -> None:
    assert [address_of(TOPOLOGY, "san", name) for name in "bca"] == ["10.78.4.1", "10.78.4.2", "10.78.4.3"]


def test_cards_management_first() -> None:
    cards = [(card.name, card.link, card.address) for card in cards_of(TOPOLOGY, TOPOLOGY.host("c"))]
    assert cards == [("eth0", "mgmt", "10.0.2.15/24"), ("eth1", "san", "10.78.4.2/22")]
    assert [card.link for card in cards_of(TOPOLOGY, TOPOLOGY.host("a"))] == ["mgmt", "lan", "san"]


def test_peers_are_all_others_on_the_same_segments() -> None:
    assert peers(TOPOLOGY, TOPOLOGY.host("a")) == ["10.77.0.2", "10.78.4.1", "10.78.4.2"]
    alone = Topology(name="one", hosts=(Host(name="x", memory=MIB),))
    assert peers(alone, alone.host("x")) == []


def test_the_seed_of_a_guest_is_of_no_guest(tmp_path: Path) -> None:
    boot = tmp_path / "boot.sh"
    boot.write_text("#!/bin/sh\n")
    module = tmp_path / "nbd.ko"
    module.write_bytes(b"\x7fELF module")
    paths = {"kernel/drivers/block/nbd.ko.xz": module}
    own = tmp_path / "demo-1.ko"
    own.write_bytes(b"\x7fELF own")
    files = unpacked(make_seed(boot, paths, {"demo": own}))
    text = {name: content for name, (_, content) in files.items()}
    assert text["seed/boot.sh"] == b"#!/bin/sh\n" and json.loads(text["seed/agent.json"]) == {"uart": "/dev/ttyS1"}
    assert lzma.decompress(text["seed/modules/nbd.ko.xz"]) == b"\x7fELF module"
    assert text["seed/modules/demo.ko"] == b"\x7fELF own", "a module that replaces none lies there as it is"
    assert own_module_path("demo") == "/run/harness/modules/demo.ko"
    assert text["seed/modules.map"] == b"kernel/drivers/block/nbd.ko.xz nbd.ko.xz\n"
    assert stat.S_IMODE(files["seed/ssh_host_ed25519_key"][0]) == 0o600
    assert not set(text) & {"seed/hostname", "seed/hosts", "seed/net", "seed/authorized_keys"}


def test_the_key_that_logs_in_is_made_once_and_is_secret(tmp_path: Path) -> None:
    first, second = keys_of(tmp_path), keys_of(tmp_path)
    assert first == second and first.client_public == read_key(first.client_file)
    assert stat.S_IMODE(first.client_file.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    assert [path.name for path in (tmp_path / "keys").iterdir()] == ["id_ed25519"]


def test_a_new_key_every_time(tmp_path: Path) -> None:
    (private, public), (_, other) = make_key(), make_key()
    (tmp_path / "key").write_bytes(private)
    assert read_key(tmp_path / "key") == public != other


def test_keys_that_cannot_be_read(tmp_path: Path) -> None:
    keys_of(tmp_path).client_file.write_text("not a key")
    with pytest.raises(HostEnvironmentError, match="new ones are made"):
        keys_of(tmp_path)
