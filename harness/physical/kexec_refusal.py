"""Why a host cannot boot a kernel of the run by kexec: one line, before anything is changed there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from harness.physical.boot_facts import BootFacts, RootFacts
from harness.physical.cmdline import value_of
from harness.physical.kexec_boot import INSTALLED

FILE_SYSTEMS = ("ext2", "ext3", "ext4", "xfs", "btrfs")
# Devices that need more than drivers before their file system can be mounted.
_STACKED = {
    "dm-": "device mapper (LVM, dm-crypt or multipath)",
    "md": "software RAID",
    "nbd": "a network block device",
    "rbd": "a network block device",
    "drbd": "DRBD",
    "bcache": "bcache",
    "loop": "a file",
    "zd": "ZFS",
}
_ENFORCING = "SELinux would not let it load modules from a ramfs; add enforcing=0 to the host's cmdline"


def refusal(facts: BootFacts, *, installed: bool = False, cmdline: str = "") -> str:
    """Why the host cannot boot by kexec, with the way out; "" if it can.

    `installed`: an installed kernel of the owner's with the owner's initramfs. `cmdline` has words of the inventory.
    """
    problem = next(_of_kexec(facts), "")
    if problem or installed:
        return problem
    problem = next(_of_host(facts, cmdline), "")
    if problem:
        return problem
    problem = next(_of_root(facts), "")
    return f'{problem}; kernel = "{INSTALLED}RELEASE" boots an installed one with its own initramfs' if problem else ""


def _of_kexec(facts: BootFacts) -> Iterator[str]:
    owner_kernel = 'or use kernel = "owner"'
    if facts.machine != "x86_64":
        yield f"its processor is {facts.machine}, and kernels of a run are for x86_64; {owner_kernel}"
    if not facts.kexec:
        yield f"kexec is not installed; install kexec-tools there, {owner_kernel}"
    if not facts.kexec_known:
        yield f"its kernel {facts.release} is built without kexec (CONFIG_KEXEC); {owner_kernel}"
    if facts.kexec_disabled:
        yield f"kexec_load_disabled is 1 until the host restarts; restart it without that sysctl, {owner_kernel}"


def _of_host(facts: BootFacts, cmdline: str) -> Iterator[str]:
    permissive = "0" in (value_of(cmdline, "enforcing"), value_of(cmdline, "selinux"))
    if facts.selinux_enforcing and not permissive:
        yield _ENFORCING


def _of_root(facts: BootFacts) -> Iterator[str]:
    root = facts.root
    name = PurePosixPath(root.device).name
    stacked = next((what for start, what in _STACKED.items() if name.startswith(start)), "")
    if stacked:
        yield f"its root file system is on {stacked}, which a kernel of the run cannot set up"
    if root.fstype not in FILE_SYSTEMS:
        yield f"its root file system is {root.fstype}, and a kernel of the run mounts {', '.join(FILE_SYSTEMS)}"
    yield from _of_file_system(root)
    if facts.separate_usr:
        yield "its /usr is a file system of its own, which a kernel of the run does not mount"


def _of_file_system(root: RootFacts) -> Iterator[str]:
    if not root.uuid:
        yield f"the UUID of its root file system on {root.device} is not known"
    if root.copies > 1:
        yield f"{root.copies} of its devices hold a file system with the UUID of its root"
    if root.devices > 1:
        yield f"its root file system spans {root.devices} devices"
    if any(option.startswith(("logdev=", "rtdev=", "journal_")) for option in root.options.split(",")):
        yield "its root file system has a log on another device"
