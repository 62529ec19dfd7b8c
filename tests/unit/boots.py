"""Facts of a host that boots, as tests of kexec have them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from harness.model.topology import GIB
from harness.physical.boot_facts import BootFacts, RootFacts

UUID = "7cb28cc2-1d88-43da-a85a-7c55dffe9f96"
ROOT = RootFacts(
    fstype="ext4",
    source="/dev/sda1",
    device="/dev/sda1",
    options="rw,errors=remount-ro",
    uuid=UUID,
    copies=1,
    devices=1,
    modaliases=("pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01", "scsi:t-0x00"),
    drivers=("ahci", "sd_mod"),
)
FACTS = BootFacts(
    machine="x86_64",
    release="6.1.0-1-amd64",
    boot_id="old",
    cmdline=f"BOOT_IMAGE=/boot/vmlinuz root=UUID={UUID} ro quiet console=ttyS0",
    loaded=("nbd",),
    modaliases=(),
    root=ROOT,
    modules_dir="/usr/lib/modules",
    separate_usr=False,
    compressions=("zstd", "xz"),
    has_systemd=True,
    kexec="/usr/sbin/kexec",
    kexec_disabled=False,
    kexec_known=True,
    lockdown="none",
    selinux_enforcing=False,
    memory_available=8 * GIB,
)


def facts(**changes: Any) -> BootFacts:
    """The facts of a plain host, with changes."""
    return replace(FACTS, **changes)


def on_root(**changes: Any) -> BootFacts:
    """The facts of a host whose root file system is another."""
    return replace(FACTS, root=replace(ROOT, **changes))
