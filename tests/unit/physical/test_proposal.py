"""What is proposed for the inventory of a new host: from its survey, and never what would hurt its owner."""

from __future__ import annotations

from dataclasses import replace

import pytest
from surveys import GIB, HCA, PORT, UUID, disk, interface, survey

from harness.fabric.hca import RdmaFacts
from harness.model.errors import UsageError
from harness.model.owned_host import OwnedHost
from harness.model.topology import MIB
from harness.physical.interlocks import refusals
from harness.physical.proposal import (
    check_link,
    chosen_disk,
    expectations,
    free_disks,
    host_name,
    installed_memory,
    link_cards,
    link_names,
)

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("own", "name"),
    [
        ("ib1", "ib1"),
        ("IB1.example.org", "ib1"),
        ("7node", "host-7node"),
        ("", "host"),
        ("---", "host"),
        ("node_with_a_very_long_name", "node-with-a-very-long"),
        ('x"]\nevil', "x-evil"),
        ("é", "host"),
    ],
)
def test_a_name_that_the_inventory_takes(own: str, name: str) -> None:
    assert host_name(survey(hostname=own)) == name


def test_only_a_disk_that_nothing_uses_is_proposed() -> None:
    disks = (
        disk("vda", uses=("mounted on /",)),
        disk("vdb"),
        disk("vdc", partitions=("vdc1",)),
        disk("vdd", ids=()),
        disk("vde", uses=("LVM2_member",)),
    )
    found = survey(disks=disks)
    assert [one.name for one in free_disks(found)] == ["vdb"]
    for name, why in (
        ("vda", "in use: mounted on /"),
        ("vdc", r"has partitions \(vdc1\)"),
        ("vdd", "no stable name"),
        ("/dev/disk/by-id/virtio-vde-id", "in use: LVM2_member"),
        ("vdz", "no such disk"),
    ):
        with pytest.raises(UsageError, match=f"{why}.*; disks that nothing uses: vdb$"):
            chosen_disk(name, found)


@pytest.mark.parametrize("name", ["vdb", "virtio-vdb-id", "/dev/disk/by-id/virtio-vdb-id", "/dev/vdb"])
def test_a_disk_has_many_names_and_one_is_kept(name: str) -> None:
    keys = chosen_disk(name, survey()).keys()
    assert keys == {
        "scratch": "/dev/disk/by-id/virtio-vdb-id",
        "scratch_serial": "vdb-serial",
        "scratch_size": "1 GiB",
    }


def test_the_name_kept_is_the_one_that_tells_most() -> None:
    ids = ("nvme-eui.0025385b", "nvme-Samsung_S4EV", "wwn-0x5000")
    assert chosen_disk("vdb", survey(disks=(disk("vdb", ids=ids),))).path == "/dev/disk/by-id/nvme-Samsung_S4EV"


def test_a_size_that_no_inventory_can_say_is_left_out() -> None:
    odd = survey(disks=(disk("vdb", size=500_107_862_016, serial=""),))
    assert chosen_disk("vdb", odd).keys() == {"scratch": "/dev/disk/by-id/virtio-vdb-id"}
    whole = survey(disks=(disk("vdb", size=1500 * MIB),))
    assert chosen_disk("vdb", whole).keys()["scratch_size"] == "1500 MiB"


def test_the_card_of_ssh_is_no_link() -> None:
    cards = (
        interface("eno1", is_management=True),
        interface("lo", driver=""),
        interface("veth0", driver=""),
        interface("eno2"),
        interface("ib0", type="32"),
        interface("ib1", type="32", driver=""),
    )
    found = survey(interfaces=cards)
    assert [card.name for card in link_cards(found)] == ["eno2", "ib0", "ib1"]
    assert link_names(link_cards(found)) == {"fabric": "ib0", "fabric-2": "ib1"}
    with pytest.raises(UsageError, match="eno1 carries the SSH connection"):
        check_link("eno1", found)
    with pytest.raises(UsageError, match="no interface ib7; it has: eno1, lo"):
        check_link("ib7", found)


def test_no_card_is_proposed_where_it_is_not_known_which_carries_ssh() -> None:
    assert link_cards(survey(interfaces=(interface("eno1"), interface("ib0", type="32")))) == []


def test_the_first_active_port_is_expected() -> None:
    idle = replace(PORT, state="DOWN", rate="10 Gb/sec (4X SDR)")
    down = replace(HCA, name="mlx4_1", firmware="old", ports=(idle,))
    assert expectations(survey(rdma=RdmaFacts(hcas=(down, HCA)))) == {
        "memory": "16 GiB",
        "driver": "mlx4_core",
        "rate": "40 Gb/sec (4X QDR)",
        "firmware": "2.42.5000",
    }
    alone = expectations(survey(rdma=RdmaFacts(hcas=(down,))))
    assert alone == {"memory": "16 GiB", "driver": "mlx4_core", "firmware": "old"}
    assert expectations(survey(rdma=RdmaFacts())) == {"memory": "16 GiB"}


@pytest.mark.parametrize(
    ("seen", "installed"),
    [
        (int(15.6 * GIB), "16 GiB"),
        (int(62.7 * GIB), "64 GiB"),
        (int(187.5 * GIB), "192 GiB"),
        (16 * GIB, "16 GiB"),
        (580 * MIB, "640 MiB"),
        (3 * MIB, "3 MiB"),
    ],
)
def test_the_memory_that_is_installed(seen: int, installed: str) -> None:
    assert installed_memory(seen) == installed


@pytest.mark.parametrize("memory", [97 * MIB + 1, 580 * MIB, 3 * GIB - 1, 31 * GIB, 500 * GIB, 1_500 * GIB])
def test_a_host_is_what_was_expected_of_it(memory: int) -> None:
    found = survey(memory=memory)
    spec = OwnedHost(address="x", host_key="ssh-ed25519 AAAA", expect=expectations(found))
    assert refusals("ib1", spec, found, bmc_uuid=UUID, now=NOW) == []
