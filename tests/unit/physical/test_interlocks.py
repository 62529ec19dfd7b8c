"""Interlocks: each reason not to use a host, one line with the way out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from surveys import GIB, UUID, disk, interface, survey

from harness.fabric.hca import RdmaFacts
from harness.model.owned_host import OwnedHost
from harness.physical.interlocks import refusals

SPEC = OwnedHost(
    address="192.0.2.11",
    host_key="ssh-ed25519 AAAA",
    disposable=True,
    scratch="/dev/disk/by-id/virtio-vdb-id",
    scratch_serial="vdb-serial",
    scratch_size=GIB,
    links={"fabric": "ib0", "lan": "eno1", "lost": "ib7"},
    expect={
        "memory": "16 GiB",
        "driver": "mlx4_core",
        "rate": "40 Gb/sec (4X QDR)",
        "cpus": "8",
        "firmware": "2.42.5000",
    },
)
NOW = 1_800_000_000.0


def found(spec: OwnedHost = SPEC, given: dict[str, Any] | None = None, **changes: Any) -> list[str]:
    return refusals("ib1", spec, survey(**changes), now=NOW, **(given or {}))


def test_a_host_as_the_inventory_says_may_be_used() -> None:
    given = {"links": ("fabric",), "programs": ("nbd-client",), "bmc_uuid": UUID, "own_machine": "1" * 32}
    assert found(given=given) == []


@pytest.mark.parametrize(
    ("changes", "given", "words"),
    [
        ({"disks": ()}, {}, "it has no disk /dev/disk/by-id/virtio-vdb-id; disks that nothing uses: none"),
        (
            {"disks": (disk("vdb", uses=("mounted on /srv",)),)},
            {},
            "its scratch disk vdb is in use: mounted on /srv; name another, or free it",
        ),
        ({"disks": (disk("vdb", uses=("swap",)),)}, {}, "is in use: swap"),
        ({"disks": (disk("vdb", uses=("vdb1 LVM2_member",), partitions=("vdb1",)),)}, {}, "in use: vdb1 LVM2_member"),
        ({"disks": (disk("vdb", uses=("zfs_member",)),)}, {}, "in use: zfs_member"),
        ({"disks": (disk("vdb", partitions=("vdb1",)),)}, {}, "has partitions (vdb1); wipe it, if that is right"),
        (
            {"disks": (disk("vdb", serial="other"),)},
            {},
            "has the serial number other, and the inventory says vdb-serial",
        ),
        ({"disks": (disk("vdb", size=2 * GIB),)}, {}, "has 2 GiB, and the inventory says 1 GiB"),
        (
            {"users": ("alice pts/0 09:00",)},
            {},
            "somebody is logged in: alice pts/0 09:00; ask them, or add --though-in-use",
        ),
        ({}, {"own_machine": UUID.upper()}, "its address leads to this machine itself"),
        ({}, {"bmc_uuid": "1" * 32}, "its BMC belongs to another machine"),
        ({"run_free": 1000}, {}, "its /run has 0 KiB left"),
        ({"clock": NOW + 86400}, {}, "its clock is 24.0 h ahead of this machine's; set it"),
        ({"clock": NOW - 86400}, {}, "24.0 h behind this machine's"),
        ({}, {"links": ("lost",)}, "link lost is interface ib7 in the inventory; it has: eno1, ib0"),
        ({}, {"links": ("lan",)}, "link lan is eno1, which carries the SSH connection"),
        ({}, {"programs": ("nbd-client", "tgtadm")}, "it lacks programs that this case needs: tgtadm; install them"),
        ({"memory": 8 * GIB}, {}, "it has 8 GiB of memory, and the inventory expects 16 GiB"),
        ({"cpus": 80}, {}, "its cpus is 80, and the inventory expects 8"),
        ({"rdma": RdmaFacts()}, {}, "its rate is nothing, and the inventory expects 40 Gb/sec (4X QDR)"),
    ],
)
def test_each_reason_is_one_line_with_the_way_out(changes: dict[str, Any], given: dict[str, Any], words: str) -> None:
    lines = found(given=given, **changes)
    assert any(words in line for line in lines), lines
    assert all(line.startswith("host ib1: ") and "\n" not in line for line in lines)


def test_people_who_are_logged_in_can_be_ignored() -> None:
    assert found(given={"in_use": True}, users=("alice pts/0",)) == []


def test_a_bmc_that_says_nothing_is_no_reason() -> None:
    assert found(given={"bmc_uuid": ""}) == [] and found(given={"bmc_uuid": UUID}, uuid="") == []


def test_a_host_without_a_scratch_disk_needs_none() -> None:
    assert found(replace(SPEC, scratch="", scratch_serial="", scratch_size=0), disks=()) == []


def test_a_card_of_another_name_is_no_link() -> None:
    cards = (interface("eno1", is_management=True), interface("ib7"))
    assert found(given={"links": ("lost",)}, interfaces=cards) == []
