"""Which modules of a kernel a host needs, and which of them lead to its root file system."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.kernels.host_modules import ModuleIndex, Wanted
from harness.kernels.module_set import module_name

DEP = """\
kernel/drivers/ata/ahci.ko.xz: kernel/drivers/ata/libahci.ko.xz kernel/drivers/ata/libata.ko.xz
kernel/drivers/ata/libahci.ko.xz: kernel/drivers/ata/libata.ko.xz
kernel/drivers/ata/libata.ko.xz:
kernel/drivers/scsi/sd_mod.ko.xz:
kernel/fs/ext4/ext4.ko.xz: kernel/fs/jbd2/jbd2.ko.xz
kernel/fs/jbd2/jbd2.ko.xz:
kernel/crypto/crc32c_generic.ko.xz:
kernel/arch/x86/crypto/crc32c-intel.ko.xz:
kernel/drivers/net/e1000e.ko.xz:
kernel/drivers/block/nbd.ko.xz:
"""
ALIAS = """\
# Aliases extracted from modules themselves.
alias pci:v00008086d00002922sv*sd*bc*sc*i* ahci
alias pci:v*d*sv*sd*bc01sc06i01* ahci
alias scsi:t-0x00* sd_mod
alias pci:v00008086d000010D3sv*sd*bc*sc*i* e1000e
alias crypto-crc32c crc32c_generic
alias crypto-crc32c crc32c_intel
"""
SOFTDEP = "softdep ext4 pre: crypto-crc32c post: nbd\n"
AHCI = "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01"
E1000E = "pci:v00008086d000010D3sv00008086sd0000A01Fbc02sc00i00"
WANTED = Wanted(
    names=("nbd", "of_another_kernel"),
    modaliases=(AHCI, E1000E),
    early_names=("ahci", "sd_mod"),
    early_modaliases=(AHCI, "scsi:t-0x00"),
    fstype="ext4",
)


@pytest.fixture
def index(tmp_path: Path) -> ModuleIndex:
    (tmp_path / "modules.dep").write_text(DEP)
    (tmp_path / "modules.alias").write_text(ALIAS)
    (tmp_path / "modules.softdep").write_text(SOFTDEP)
    return ModuleIndex(tmp_path)


def names(paths: list[str] | set[str]) -> list[str]:
    return [module_name(path) for path in paths]


def test_early_modules_come_in_the_order_of_devices_after_what_they_need(index: ModuleIndex) -> None:
    order = names(index.early(WANTED))
    assert order.index("libata") < order.index("libahci") < order.index("ahci")
    assert order.index("jbd2") < order.index("ext4")
    assert set(order) == {"libata", "libahci", "ahci", "sd_mod", "jbd2", "ext4", "crc32c_generic", "crc32c_intel"}


def test_what_a_module_asks_for_by_name_is_loaded_before_it(index: ModuleIndex) -> None:
    order = names(index.early(WANTED))
    assert max(order.index("crc32c_generic"), order.index("crc32c_intel")) < order.index("ext4")
    assert "nbd" not in order  # it may come after


def test_a_host_gets_drivers_of_all_its_devices_and_what_its_owner_had_loaded(index: ModuleIndex) -> None:
    assert {"ahci", "e1000e", "nbd"} <= set(names(index.all_of(WANTED)))


def test_a_driver_that_is_built_in_is_no_module(index: ModuleIndex) -> None:
    assert index.early(replace(WANTED, early_names=("nvme",), early_modaliases=(), fstype="xfs")) == [
        "kernel/crypto/crc32c_generic.ko.xz"
    ]


@pytest.mark.parametrize(("modalias", "module"), [(E1000E, "e1000e"), (AHCI, "ahci"), ("usb:v1", "")])
def test_a_modalias_has_its_driver_once(index: ModuleIndex, modalias: str, module: str) -> None:
    assert names(index.driving(modalias)) == ([module] if module else [])
