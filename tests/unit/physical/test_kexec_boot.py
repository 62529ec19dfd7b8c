"""What a host boots from: the initramfs of its own, and what its init reads."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from boots import FACTS, UUID, facts, on_root
from kernel_makers import RELEASE, boot_image, installed, module

from harness.artifacts.cpio import make_cpio
from harness.kernels.host_initrd import build_host_initrd
from harness.kernels.kernels import Kernel
from harness.model.observe import Silent
from harness.model.settings import Settings
from harness.physical.boot_facts import SCRIPT, BootFacts
from harness.physical.kexec_boot import KexecBoot, conf_of, wanted_of


def test_the_script_for_hosts_says_all_that_is_asked_of_it() -> None:
    # This machine stands in for a host: any Linux has these facts.
    done = subprocess.run([sys.executable, "-I", "-S", SCRIPT], capture_output=True, text=True, check=True)
    found = BootFacts.from_dict(json.loads(done.stdout))
    assert found.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert found.memory_available > 0
    assert found.root.fstype


def test_the_configuration_of_a_host() -> None:
    conf = conf_of(FACTS, 90).splitlines()
    assert conf[:4] == [f"uuid={UUID}", "fstype=ext4", "options=", "rw=0"]
    assert conf[4:] == ["modules=/usr/lib/modules", "init=/sbin/init", "leash_s=90"]


def test_the_owners_root_options_and_init_are_kept() -> None:
    conf = conf_of(facts(cmdline="root=/dev/sda1 rw rootflags=subvol=@ init=/lib/systemd/systemd"), 0).splitlines()
    assert {"options=subvol=@", "rw=1", "init=/lib/systemd/systemd"} <= set(conf)


def test_the_configuration_comes_behind_the_archive(tmp_path: Path) -> None:
    (tmp_path / "initrd").write_bytes(make_cpio({"init": b"#"}))
    boot = KexecBoot(release="6", cmdline="", token="t", vmlinuz=tmp_path, initramfs=tmp_path / "initrd", conf="rw=0\n")
    data = boot.initramfs_bytes()
    assert len(data) % 4 == 0
    assert members(data) == {"init": b"#", "harness.conf": b"rw=0\n"}


@pytest.mark.parametrize(("compressions", "suffix"), [(("zstd", "xz"), ".zst"), (("xz",), ".xz"), ((), "")])
def test_an_initramfs_of_a_kernel(tmp_path: Path, compressions: tuple[str, ...], suffix: str) -> None:
    folder = installed(tmp_path / "kernel")
    vmlinuz = boot_image(tmp_path / "kernel/boot/vmlinuz")
    patched = module(tmp_path / "nbd.ko", text="patched")
    wanted = wanted_of(on_root(drivers=(), modaliases=()))
    settings = Settings(state=tmp_path, cache=tmp_path / "cache", results=tmp_path)
    replaced = {"kernel/drivers/block/nbd.ko": patched}
    kernel = Kernel(
        name=str(vmlinuz),
        release=RELEASE,
        version="",
        vmlinuz=vmlinuz,
        modules_dir=folder,
        modules_image=vmlinuz,
        initrd=vmlinuz,
        config=vmlinuz,
        digest="",
    )
    initrd = build_host_initrd(settings, kernel, wanted, replaced, compressions, Silent())
    found = members(initrd.read_bytes())
    tree = f"modules/{RELEASE}"
    assert found["boot-modules"] == b"ext4.ko\n"
    assert found["boot-modules.d/ext4.ko"].startswith(b"\x7fELF")
    assert f"nbd.ko{suffix}" in found[f"{tree}/modules.dep"].decode()
    assert f"{tree}/kernel/drivers/gpu/drm/drm.ko{suffix}" not in found  # neither loaded, nor for cases
    nbd = found[f"{tree}/kernel/drivers/block/nbd.ko{suffix}"]
    assert (nbd == patched.read_bytes()) is (suffix == "")
    assert not list(initrd.parent.glob("full")) + list(initrd.parent.glob("reduced"))


def members(data: bytes) -> dict[str, bytes]:
    """Files of a newc archive, those of archives behind it as well."""
    found, at = {}, 0
    while at < len(data):
        size, name_size = int(data[at + 54 : at + 62], 16), int(data[at + 94 : at + 102], 16)
        name = data[at + 110 : at + 110 + name_size - 1].decode()
        start = at + (110 + name_size + 3) // 4 * 4
        if name != "TRAILER!!!" and int(data[at + 14 : at + 22], 16) & 0o100000:
            found[name] = data[start : start + size]
        at = start + (size + 3) // 4 * 4
    return found
