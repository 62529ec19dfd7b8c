"""A kernel that somebody built boots with its modules: given as a boot image and a tar file, and as a built tree."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from live_site import live_site

from harness.kernels.kernels import fetch_kernel
from harness.model.observe import Silent
from harness.model.settings import Settings
from harness.model.topology import MIB, Host, Topology

pytestmark = pytest.mark.slow

# The number of modules that guests get of this kernel does not matter; that each is found by modprobe does.
DRIVER = "modprobe nbd && cat /sys/module/nbd/initstate && uname -r && modprobe -n -v ext4"


def packed(settings: Settings, folder: Path) -> dict[str, str]:
    """A bare boot image, and its modules in a tar file."""
    kernel = fetch_kernel(settings, "debian:12", Silent())
    image, tar = folder / "bzImage", folder / "modules.tar.gz"
    shutil.copyfile(kernel.vmlinuz, image)
    shutil.copyfile(kernel.config, folder / "config")
    subprocess.run(["tar", "-czf", tar, "-C", kernel.modules_dir.parents[2], "lib/modules"], check=True)
    return {"kernel": str(image), "modules_from": str(tar)}


def as_a_tree(settings: Settings, folder: Path) -> dict[str, str]:
    """What a build leaves in its tree, before anything is installed."""
    kernel = fetch_kernel(settings, "debian:12", Silent())
    shutil.copytree(kernel.modules_dir / "kernel", folder, dirs_exist_ok=True)
    (folder / "arch/x86/boot").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(kernel.vmlinuz, folder / "arch/x86/boot/bzImage")
    shutil.copyfile(kernel.config, folder / ".config")
    shutil.copyfile(kernel.modules_dir / "modules.builtin", folder / "modules.builtin")
    objects = (path.relative_to(folder).with_suffix(".o") for path in sorted(folder.rglob("*.ko")))
    (folder / "modules.order").write_text("".join(f"{path}\n" for path in objects))
    return {"kernel": str(folder), "modules_from": ""}


@pytest.mark.parametrize("make", [packed, as_a_tree])
def test_a_kernel_of_the_users_own_boots_and_loads_its_modules(settings: Settings, tmp_path: Path, make: Any) -> None:
    folder = tmp_path / "kernel"
    folder.mkdir()
    host = Host(name="one", memory=256 * MIB, cpus=2, **make(settings, folder))
    topology = Topology(name="own", hosts=(host,), roles={"client": "one"})
    with live_site(settings, topology, tmp_path) as site:
        said = site.role("client").shell.run(DRIVER, deadline=site.deadline(20)).stdout
    release = fetch_kernel(settings, "debian:12", Silent()).release
    assert "live" in said and release in said
