"""Which modules guests get, and in which order the initramfs loads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.artifacts.recipes import read_recipe, vm_images
from harness.kernels.module_set import (
    ModulesRecipe,
    boot_order,
    closure,
    module_name,
    read_dependencies,
    select,
)
from harness.kernels.preflight import EVERY_GUEST

# As depmod writes it: all dependencies of a module, the one to load first at the end.
DEP = """\
kernel/fs/ext4/ext4.ko: kernel/lib/crc16.ko kernel/fs/mbcache.ko kernel/fs/jbd2/jbd2.ko
kernel/lib/crc16.ko:
kernel/fs/mbcache.ko:
kernel/fs/jbd2/jbd2.ko:
kernel/drivers/virtio/virtio.ko: kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/virtio/virtio_ring.ko:
kernel/drivers/block/virtio_blk.ko: kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/net/net_failover.ko: kernel/net/core/failover.ko
kernel/net/core/failover.ko:
kernel/drivers/net/virtio_net.ko: kernel/drivers/net/net_failover.ko kernel/net/core/failover.ko
kernel/drivers/misc/pvpanic/pvpanic-pci.ko:
kernel/drivers/net/wireless/big.ko:
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "modules.dep").write_text(DEP)
    (tmp_path / "modules.builtin").write_text("kernel/drivers/virtio/virtio_pci.ko\n")
    return tmp_path


def recipe(**more: tuple[str, ...]) -> ModulesRecipe:
    return ModulesRecipe(**{"keep": ("**",), "boot": (), **more})


def test_dependencies_come_first_and_once(folder: Path) -> None:
    order = closure({"kernel/drivers/block/virtio_blk.ko", "kernel/fs/ext4/ext4.ko"}, read_dependencies(folder))
    names = [module_name(path) for path in order]
    assert sorted(names) == sorted({"virtio_blk", "virtio", "virtio_ring", "ext4", "jbd2", "mbcache", "crc16"})
    assert names.index("virtio_ring") < names.index("virtio") < names.index("virtio_blk")
    assert names[-1] == "ext4"


def test_patterns_keep_and_leave_out(folder: Path) -> None:
    kept = select(
        read_dependencies(folder),
        recipe(keep=("drivers/net/*", "drivers/block/**", "fs/**"), leave_out=("fs/ext4/**", "drivers/block/**")),
    )
    assert {module_name(path) for path in kept} == {"net_failover", "virtio_net", "mbcache", "jbd2"}
    anyway = select(read_dependencies(folder), recipe(leave_out=("**",), keep_anyway=("fs/ext4/*",)))
    assert anyway == {"kernel/fs/ext4/ext4.ko"}


def test_boot_order_follows_the_recipe_and_passes_over_what_is_not_there(folder: Path) -> None:
    boot = ("virtio_pci", "virtio_blk", "crc32c_generic", "ext4", "failover", "virtio_net", "pvpanic-pci")
    names = [path.name for path in boot_order(folder, recipe(boot=boot))]
    assert names == [
        "virtio_ring.ko", "virtio.ko", "virtio_blk.ko", "jbd2.ko", "mbcache.ko", "crc16.ko", "ext4.ko",
        "failover.ko", "net_failover.ko", "virtio_net.ko", "pvpanic-pci.ko",
    ]  # fmt: skip


def test_names_of_modules() -> None:
    assert module_name("kernel/drivers/misc/pvpanic/pvpanic-pci.ko.xz") == "pvpanic_pci"
    assert module_name("kernel/fs/ext4/ext4.ko") == "ext4"


def test_the_recipe_of_the_repository_keeps_what_the_cases_need() -> None:
    own = read_recipe(vm_images() / "modules.toml", ModulesRecipe)
    wanted = [
        "kernel/drivers/block/nbd.ko", "kernel/fs/nfsd/nfsd.ko", "kernel/drivers/net/virtio_net.ko",
        "kernel/drivers/scsi/iscsi_tcp.ko", "kernel/drivers/block/aoe/aoe.ko",
        "kernel/drivers/infiniband/hw/mthca/ib_mthca.ko", "kernel/drivers/infiniband/ulp/ipoib/ib_ipoib.ko",
    ]  # fmt: skip
    unwanted = [
        "kernel/drivers/net/wireless/ath/ath.ko",
        "kernel/drivers/gpu/drm/drm.ko",
        "kernel/net/wireless/cfg80211.ko",
    ]
    assert select([*wanted, *unwanted], own) == set(wanted)
    assert {name for name in EVERY_GUEST if not name.startswith("CONFIG_")} <= set(own.boot)
