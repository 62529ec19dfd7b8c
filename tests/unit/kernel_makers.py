"""Small kernels: boot images, modules that depmod reads, trees and packages of them."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

RELEASE = "6.18.0-rc1+"
CONFIG = """\
CONFIG_MODULES=y
CONFIG_BLK_DEV_INITRD=y
CONFIG_SWAP=y
CONFIG_BLK_DEV_NBD=m
# CONFIG_DETECT_HUNG_TASK is not set
"""
MODULES = ("drivers/block/nbd", "fs/ext4/ext4", "drivers/gpu/drm/drm")


def boot_image(path: Path, version: str = f"{RELEASE} (me) #1") -> Path:
    head = bytearray(0x1000)
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", head, 0x20E, 0x400)
    head[0x600 : 0x600 + len(version)] = version.encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(head)
    return path


def module(path: Path, release: str = RELEASE, *, debug: bool = False, text: str = "") -> Path:
    """A module that has nothing in it but what it says of itself, and `text`, which it may print."""
    path.parent.mkdir(parents=True, exist_ok=True)
    info = "".join(f'.asciz "{entry}"\n' for entry in ("license=GPL", f"name={path.stem}", f"vermagic={release} SMP"))
    more = '.section .debug_info,"",@progbits\n.zero 100000\n' if debug else ""
    source = f'.section .rodata\n.asciz "{text}"\n.section .modinfo,"a"\n.byte 0\n{info}{more}'
    subprocess.run(["as", "-o", path, "-"], input=source.encode(), check=True)
    return path


def installed(root: Path, release: str = RELEASE) -> Path:
    """What `make modules_install INSTALL_MOD_PATH=root` leaves, without depmod."""
    folder = root / "lib/modules" / release
    for name in MODULES:
        module(folder / f"kernel/{name}.ko", release)
    (folder / "modules.order").write_text("".join(f"kernel/{name}.ko\n" for name in MODULES))
    (folder / "modules.builtin").write_text("kernel/drivers/virtio/virtio_pci.ko\n")
    return folder


def tree(root: Path, order: str = "{}.o\n") -> Path:
    """A built tree whose modules.order has lines of the form `order`."""
    boot_image(root / "arch/x86/boot/bzImage")
    for name in MODULES:
        module(root / f"{name}.ko", debug=True)
    (root / "modules.order").write_text("".join(order.format(name) for name in MODULES))
    (root / "modules.builtin").write_text("kernel/drivers/virtio/virtio_pci.ko\n")
    (root / ".config").write_text(CONFIG)
    return root


def package(path: Path, *, usr: bool = False, image: bool = True) -> Path:
    """A linux-image-*.deb; `usr`: with its modules where Debian 13 has them."""
    root = path.parent / f"{path.stem}.root"
    if image:
        boot_image(root / f"boot/vmlinuz-{RELEASE}")
        (root / f"boot/config-{RELEASE}").write_text(CONFIG)
        installed(root / "usr" if usr else root)
    return _packed(path, root, f"linux-image-{RELEASE}")


def package_in_parts(folder: Path) -> Path:
    """The packages of one kernel as Debian 14 has them; gives the one that depends on the others."""
    folder.mkdir(parents=True)
    roots = {part: folder / part for part in ("base", "binary", "modules")}
    modules = installed(roots["modules"] / "usr")
    base = roots["base"] / modules.relative_to(roots["modules"])
    base.mkdir(parents=True)
    for name in ("modules.order", "modules.builtin"):
        (modules / name).rename(base / name)
    (base / "config").write_text(CONFIG)
    boot_image(roots["binary"] / modules.relative_to(roots["modules"]) / "vmlinuz")
    names = [f"linux-{part}-{RELEASE}" for part in roots]
    for name, root in zip(names, roots.values(), strict=True):
        _packed(folder / f"{name}_6.18~rc1-3_amd64.deb", root, name)
    whole = f"linux-image-{RELEASE}"
    depends = ", ".join(["dracut | initramfs-tools (>= 1)", *(f"{name} (= 6.18~rc1-3)" for name in names)])
    return _packed(folder / f"{whole}_6.18~rc1-3_amd64.deb", folder / "image", whole, depends)


def _packed(path: Path, root: Path, name: str, depends: str = "kmod") -> Path:
    (root / "DEBIAN").mkdir(parents=True)
    control = f"Package: {name}\nVersion: 6.18~rc1-3\nArchitecture: amd64\nMaintainer: me <me@example>\n"
    (root / "DEBIAN/control").write_text(f"{control}Depends: {depends}\nDescription: a kernel\n")
    subprocess.run(["dpkg-deb", "-Znone", "--build", root, path], check=True, capture_output=True)
    return path
