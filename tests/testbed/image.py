"""The disk that every double starts from, and the root of the servers; built once for each version of their recipes."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.artifacts.mirror import find_sources
from tests.testbed.places import USER, folder

BUILDER = 1
SIZE_MIB = 4096
SUITE = "bookworm"
# What the cases run on a host, and what a Debian machine has; no server among them starts by itself.
PACKAGES = (
    *("systemd-sysv", "udev", "dbus", "libpam-systemd", "openssh-server", "sudo", "linux-image-amd64", "grub-pc"),
    *("initramfs-tools", "zstd", "kexec-tools", "iproute2", "iputils-ping", "ethtool", "procps", "kmod", "pciutils"),
    *("dmidecode", "less", "e2fsprogs", "util-linux", "python3", "dmsetup", "fio", "iperf3", "stress-ng", "tcpdump"),
    *("nbd-client", "nbd-server", "nfs-kernel-server", "nfs-common", "tgt", "open-iscsi", "nvme-cli", "cifs-utils"),
    *("rdma-core", "infiniband-diags", "ipmitool", "vblade", "aoetools", "nbdkit"),
)
QUIET = (
    *(
        "nfs-server",
        "nfs-mountd",
        "rpcbind",
        "nfs-blkmap",
        "tgt",
        "open-iscsi",
        "iscsid",
        "e2scrub_reap",
        "nvmf-autoconnect",
    ),
    *(
        "apt-daily.timer",
        "apt-daily-upgrade.timer",
        "systemd-networkd-wait-online",
        "nbd-server",
        "nbd-client",
        "fstrim.timer",
    ),
)
SERVER_PACKAGES = (
    "ipmitool",
    "openipmi",
    "conserver-server",
    "conserver-client",
    "ser2net",
    "netbase",
    "procps",
    "python3",
)
FABRIC_PACKAGES = ("ibsim-utils", "libumad2sim0", "infiniband-diags", "opensm")
PYTHON_SERVERS = ("sushy-tools==2.2.0", "bcrypt")
PDUDAEMON = "pdudaemon==1.1.1"
LAB_SERVERS = (
    *(
        "labgrid==26.0.1",
        "aiohttp",
        "hidapi",
        "paramiko",
        "pexpect",
        "pyasn1",
        "pymodbus",
        "pyserial-labgrid",
        "pysnmp",
    ),
    *("pyusb", "requests"),
)

FILES = {
    "etc/hostname": "owned-machine\n",
    "etc/hosts": "127.0.0.1 localhost\n",
    "etc/fstab": "LABEL=root / ext4 errors=remount-ro 0 1\n",
    f"etc/sudoers.d/{USER}": f"{USER} ALL=(ALL) NOPASSWD: ALL\n",
    "etc/systemd/network/10-lan.network": "[Match]\nMACAddress=52:54:00:aa:00:*\nPermanentMACAddress=52:54:00:aa:00:01 "
    "52:54:00:aa:00:02 52:54:00:aa:00:03\n[Network]\nDHCP=ipv4\n[DHCP]\nUseDNS=no\n",
    **{
        f"etc/systemd/network/20-data{number}.network": f"[Match]\nPermanentMACAddress=52:54:00:bb:00:0{number}\n"
        f"[Network]\nAddress=10.88.0.{number}/24\n"
        for number in (1, 2, 3)
    },
    "etc/default/grub.d/testbed.cfg": "GRUB_TIMEOUT=1\nGRUB_DISABLE_SUBMENU=y\nGRUB_DEFAULT=0\n"
    'GRUB_TERMINAL="serial console"\nGRUB_SERIAL_COMMAND="serial --unit=0 --speed=115200"\n'
    'GRUB_CMDLINE_LINUX_DEFAULT=""\nGRUB_CMDLINE_LINUX="console=tty0 console=ttyS0,115200"\n',
    "etc/initramfs-tools/conf.d/testbed.conf": "MODULES=list\nCOMPRESS=zstd\nRESUME=none\n",
    "etc/initramfs-tools/modules": "virtio_pci\nvirtio_blk\nvirtio_net\next4\n",
}

# Without partitions there is no gap for GRUB's core, so the boot sector has a list of its blocks. update-grub finds no
# kernel on a loop device, so the menu is written here.
INSTALL = """\
device=$1 root=$2
mount "$device" "$root"
for name in dev proc sys; do mount --rbind "/$name" "$root/$name"; done
mkdir -p "$root/boot/grub"
echo "(hd0) $device" >"$root/boot/grub/device.map"
chroot "$root" update-initramfs -u -k all
chroot "$root" grub-install --target=i386-pc --force "$device"
chroot "$root" update-grub
release=$(cd "$root/boot" && ls vmlinuz-* | sort -V | tail -n 1 | cut -d- -f2-)
cat >"$root/boot/grub/custom.cfg" <<MENU
menuentry "Debian" {
  linux /boot/vmlinuz-$release root=UUID=$(blkid -s UUID -o value "$device") ro console=tty0 console=ttyS0,115200
  initrd /boot/initrd.img-$release
}
MENU
"""


def disk_digest() -> str:
    """Changes with what goes into the disk; BUILDER changes with how it is built."""
    return _digest(BUILDER, SIZE_MIB, SUITE, PACKAGES, QUIET, FILES, INSTALL)


def servers_digest() -> str:
    """Changes with the packages of the servers."""
    return _digest(BUILDER, SUITE, SERVER_PACKAGES, PYTHON_SERVERS)


def _digest(*recipe: object) -> str:
    return hashlib.sha256(repr(recipe).encode()).hexdigest()[:12]


def run(*command: str | Path, **options: Any) -> None:
    """Run a command; its output goes to this process's."""
    subprocess.run([str(word) for word in command], check=True, **options)


def remove_tree(path: Path) -> None:
    """Remove a folder, unless something is mounted below it: the removal would go on into that."""
    path = path.absolute()
    mounted = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    if below := [point for point in mounted if Path(point).is_relative_to(path)]:
        raise SystemExit(f"testbed: {below[0]} is mounted; unmount it before {path} is removed")
    if path.exists():
        shutil.rmtree(path)


def bootstrap(packages: Sequence[str], target: Path, *extra: str) -> None:
    """A Debian root with these packages, in the folder or tar file `target`, from this machine's own archive."""
    sources = find_sources(os.environ.get("HARNESS_MIRROR"), SUITE)
    words = [f'--aptopt={name} "{value}"' for name, value in (line.split("=", 1) for line in sources.options)]
    words += [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("locale", "man", "doc")]
    run(
        *("mmdebstrap", "--variant=minbase", "--mode=root", '--aptopt=Apt::Install-Recommends "false"'),
        *('--aptopt=Acquire::Retries "3"', f"--include={','.join(packages)}", *words, *extra, SUITE, str(target)),
        *sources.lines,
    )


def server_root() -> Path:
    """The root of the servers and of ipmitool, which are not installed on this machine."""
    target = folder() / f"servers-{servers_digest()}"
    if not (target / "ready").exists():
        remove_tree(target)
        policy = 'printf "#!/bin/sh\\nexit 101\\n" >"$1/usr/sbin/policy-rc.d"; chmod 755 "$1/usr/sbin/policy-rc.d"'
        policy = f'mkdir -p "$1/usr/sbin"; {policy}'
        bootstrap(SERVER_PACKAGES, target, f"--setup-hook={policy}")
        (target / "ready").touch()
    return target


def fabric_root() -> Path:
    """The root of the simulator of a fabric, its subnet manager and the tools that look at fabrics."""
    target = folder() / f"fabric-{_digest(BUILDER, SUITE, FABRIC_PACKAGES)}"
    if not (target / "ready").exists():
        remove_tree(target)
        bootstrap(FABRIC_PACKAGES, target)
        (target / "ready").touch()
    return target


def python_servers() -> Path:
    """A virtual environment with the servers that are Python packages."""
    target = folder() / f"venv-{servers_digest()}"
    if not (target / "ready").exists():
        remove_tree(target)
        run(sys.executable, "-m", "venv", target)
        run(target / "bin/pip", "install", "-q", *PYTHON_SERVERS, env={**os.environ, "PYTHONPATH": ""})
        (target / "ready").touch()
    return target


def lab_servers() -> Path:
    """A virtual environment with labgrid and pdudaemon, for the tests of their drivers."""
    target = folder() / f"venv-labs-{_digest(LAB_SERVERS, PDUDAEMON)}"
    if not (target / "ready").exists():
        remove_tree(target)
        run(sys.executable, "-m", "venv", target)
        pip: tuple[str | Path, ...] = (target / "bin/pip", "install", "-q")
        run(*pip, *LAB_SERVERS, env={**os.environ, "PYTHONPATH": ""})
        # It asks for systemd's headers, and writes to the journal only if it is told to.
        run(*pip, "--no-deps", PDUDAEMON, env={**os.environ, "PYTHONPATH": ""})
        (target / "ready").touch()
    return target


def base_disk() -> Path:
    """The disk of an owned machine as its owner installed it: GRUB, two kernels, a user with sudo."""
    disk = folder() / f"base-{disk_digest()}.raw"
    if not disk.exists():
        root = folder() / "base.root"
        remove_tree(root)
        bootstrap(PACKAGES, root)
        customize(root)
        write_disk(root, disk.with_suffix(".new"))
        remove_tree(root)
        disk.with_suffix(".new").rename(disk)
    return disk


def own_disk(target: Path, files: Mapping[str, tuple[bytes, int]]) -> None:
    """A copy of the base disk with files (path → contents and mode) of one machine only."""
    new, staged = target.with_suffix(".new"), target.with_suffix(".files")
    run("cp", "--sparse=always", base_disk(), new)
    for name, (data, mode) in files.items():
        (staged / name).parent.mkdir(parents=True, exist_ok=True)
        (staged / name).write_bytes(data)
        (staged / name).chmod(mode)
    mounted = target.with_suffix(".mnt")
    mounted.mkdir(exist_ok=True)
    with attached(new) as device:
        copy = 'mount "$1" "$2" && cp -r --preserve=mode "$3/." "$2/"'
        run("unshare", "--mount", "sh", "-ec", copy, "copy", device, mounted, staged)
    mounted.rmdir()
    remove_tree(staged)
    new.rename(target)


def key() -> Path:
    """The key that opens every double."""
    path = folder() / "key"
    if not path.exists():
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path)
    return path


def customize(root: Path) -> None:
    """What its owner set up."""
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / f"etc/sudoers.d/{USER}").chmod(0o440)
    inside = ["chroot", str(root)]
    run(*inside, "useradd", "-m", "-s", "/bin/bash", "-G", "sudo", USER)
    (root / f"home/{USER}/.ssh").mkdir(mode=0o700)
    run(*inside, "chown", f"{USER}:{USER}", f"/home/{USER}/.ssh")
    run(*inside, "sh", "-c", f"echo {USER}:{USER} | chpasswd; echo root:root | chpasswd")
    run(*inside, "systemctl", "enable", "systemd-networkd", "ssh", "serial-getty@ttyS0")
    for unit in QUIET:
        subprocess.run([*inside, "systemctl", "disable", unit], capture_output=True)
    (root / "usr/sbin/policy-rc.d").unlink(missing_ok=True)


def write_disk(root: Path, raw: Path) -> None:
    """A disk without partitions that holds `root`, and GRUB in its boot sector."""
    raw.unlink(missing_ok=True)
    run("mke2fs", "-q", "-t", "ext4", "-L", "root", "-d", root, raw, f"{SIZE_MIB}M")
    with attached(raw) as device:
        install_grub(raw, device)


@contextmanager
def attached(raw: Path) -> Iterator[str]:
    """The disk as a loop device."""
    done = subprocess.run(["losetup", "--show", "-f", str(raw)], check=True, capture_output=True, text=True)
    device = done.stdout.strip()
    try:
        yield device
    finally:
        run("losetup", "-d", device)


def install_grub(raw: Path, device: str) -> None:
    """GRUB on the disk, its menu, and an initramfs for its kernel.

    All of it is mounted in a mount namespace that ends with its process: a mount that a killed build leaves would let a
    later removal of the folder reach this machine's own /dev.
    """
    mounted = raw.with_suffix(".mnt")
    mounted.mkdir(exist_ok=True)
    try:
        run("unshare", "--mount", "sh", "-ec", INSTALL, "install", device, mounted)
    finally:
        mounted.rmdir()
