"""Hosts that cannot boot a kernel of the run: one line each, before anything is changed."""

from __future__ import annotations

import pytest
from boots import FACTS, facts, on_root

from harness.physical.boot_facts import BootFacts
from harness.physical.kexec_refusal import refusal

OF_ROOT = [
    (on_root(device="/dev/dm-0"), "device mapper"),
    (on_root(device="/dev/md127"), "software RAID"),
    (on_root(device="/dev/nbd0"), "network block device"),
    (on_root(fstype="nfs4", device="/srv/root", uuid=""), "is nfs4"),
    (on_root(fstype="zfs", device="/rpool/ROOT", uuid=""), "is zfs"),
    (on_root(fstype="overlay", device="/overlay", uuid=""), "is overlay"),
    (on_root(fstype="btrfs", devices=2), "spans 2 devices"),
    (on_root(copies=2), "2 of its devices hold"),
    (on_root(uuid=""), "UUID of its root file system on /dev/sda1 is not known"),
    (on_root(fstype="xfs", options="rw,logdev=/dev/sdb1"), "log on another device"),
    (facts(separate_usr=True), "/usr"),
]
OF_KEXEC = [
    (facts(machine="aarch64"), "aarch64"),
    (facts(kexec=""), "install kexec-tools"),
    (facts(kexec_known=False), "CONFIG_KEXEC"),
    (facts(kexec_disabled=True), "kexec_load_disabled"),
]


def test_a_plain_host_is_not_refused() -> None:
    assert refusal(FACTS) == ""


@pytest.mark.parametrize(("host", "piece"), OF_ROOT)
def test_a_root_that_our_init_cannot_mount(host: BootFacts, piece: str) -> None:
    line = refusal(host)
    assert piece in line
    assert 'kernel = "installed:RELEASE"' in line
    assert "\n" not in line
    assert refusal(host, installed=True) == ""


@pytest.mark.parametrize(("host", "piece"), OF_KEXEC)
def test_a_host_without_kexec(host: BootFacts, piece: str) -> None:
    for installed in (False, True):
        line = refusal(host, installed=installed)
        assert piece in line
        assert 'kernel = "owner"' in line


def test_selinux_is_a_reason_unless_the_inventory_relaxes_it() -> None:
    host = facts(selinux_enforcing=True)
    assert "enforcing=0" in refusal(host)
    assert refusal(host, cmdline="enforcing=0") == ""
