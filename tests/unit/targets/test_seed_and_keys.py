"""What makes one guest different from another: addresses, its seed archive, the keys of a state folder."""

from __future__ import annotations

import json
import lzma
import stat
from pathlib import Path

import pytest

from harness.model.errors import HostEnvironmentError
from harness.model.topology import MIB, Host, Link, Topology
from harness.targets.keys import keys_of
from harness.targets.seed import address_of, interfaces, make_seed, own_module_path, peers

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
    cards = [(card.name, card.link, card.address) for card in interfaces(TOPOLOGY, TOPOLOGY.host("c"))]
    assert cards == [("eth0", "", "10.0.2.15/24"), ("eth1", "san", "10.78.4.2/22")]
    assert [card.link for card in interfaces(TOPOLOGY, TOPOLOGY.host("a"))] == ["", "lan", "san"]


def test_peers_are_all_others_on_the_same_segments() -> None:
    assert peers(TOPOLOGY, TOPOLOGY.host("a")) == ["10.77.0.2", "10.78.4.1", "10.78.4.2"]
    alone = Topology(name="one", hosts=(Host(name="x", memory=MIB),))
    assert peers(alone, alone.host("x")) == []


def test_the_seed_of_a_guest(tmp_path: Path) -> None:
    keys = keys_of(tmp_path / "state")
    boot = tmp_path / "boot.sh"
    boot.write_text("#!/bin/sh\n")
    module = tmp_path / "nbd.ko"
    module.write_bytes(b"\x7fELF module")
    paths = {"kernel/drivers/block/nbd.ko.xz": module}
    own = tmp_path / "demo-1.ko"
    own.write_bytes(b"\x7fELF own")
    files = unpacked(make_seed(TOPOLOGY, TOPOLOGY.host("a"), keys, boot, paths, {"demo": own}))
    text = {name: content for name, (_, content) in files.items()}
    assert text["seed/hostname"] == b"a\n" and text["seed/boot.sh"] == b"#!/bin/sh\n"
    assert json.loads(text["seed/agent.json"]) == {"peers": ["10.77.0.2", "10.78.4.1", "10.78.4.2"]}
    assert text["seed/net"].decode().splitlines() == ["eth0 10.0.2.15/24", "eth1 10.77.0.1/24", "eth2 10.78.4.3/22"]
    assert b"10.78.4.2 c c.san\n" in text["seed/hosts"]
    assert text["seed/authorized_keys"].decode().strip() == keys.client_public
    assert lzma.decompress(text["seed/modules/nbd.ko.xz"]) == b"\x7fELF module"
    assert text["seed/modules/demo.ko"] == b"\x7fELF own", "a module that replaces none lies there as it is"
    assert own_module_path("demo") == "/run/harness/modules/demo.ko"
    assert text["seed/modules.map"] == b"kernel/drivers/block/nbd.ko.xz nbd.ko.xz\n"
    assert stat.S_IMODE(files["seed/ssh_host_ed25519_key"][0]) == 0o600
    # The client's private key stays here.
    assert not any(keys.client_file.read_bytes() in content for content in text.values())


def test_keys_are_made_once_and_are_secret(tmp_path: Path) -> None:
    first, second = keys_of(tmp_path), keys_of(tmp_path)
    assert first == second and first.client_public != first.host_public
    for path in (first.client_file, first.host_file):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    assert sorted(path.name for path in (tmp_path / "keys").iterdir()) == ["id_ed25519", "ssh_host_ed25519_key"]


def test_keys_that_cannot_be_read(tmp_path: Path) -> None:
    keys_of(tmp_path).client_file.write_text("not a key")
    with pytest.raises(HostEnvironmentError, match="new ones are made"):
        keys_of(tmp_path)
