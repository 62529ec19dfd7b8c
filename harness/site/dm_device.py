"""The mapped disk of a host: a device-mapper device over its scratch disk, which can be suspended and slowed down.

It is made and removed over the shell. In between, the host's agent controls it by ioctls that allocate next to nothing:
a host whose swap is suspended cannot start `dmsetup`, not even to resume it.
"""

from __future__ import annotations

import struct

from harness.drivers.protocols import Completed
from harness.model.clock import Deadline
from harness.model.errors import InfraError
from harness.site.facts import SCRATCH
from harness.site.target import Target

NAME = "harness"
DEVICE = f"/dev/mapper/{NAME}"
SECTOR = 512

CONTROL = "/dev/mapper/control"
# include/uapi/linux/dm-ioctl.h: struct dm_ioctl, struct dm_target_spec, the commands and the flags.
HEAD = struct.Struct("=IIIIIIiIIIQ128s129s7x")
TARGET = struct.Struct("=QQiI16s")
VERSION = (4, 0, 0)
SUSPEND, STATUS, LOAD = 6, 7, 9
IS_SUSPENDED, SKIP_LOCKFS, NOFLUSH = 1 << 1, 1 << 10, 1 << 11
FLAGS, DEV = 7, 10  # fields of the header
AT_ONCE = SKIP_LOCKFS | NOFLUSH  # no freeze of its file system and no flush, which need the device itself


def create(target: Target, deadline: Deadline) -> str:
    """Make the device, /dev/mapper/harness; returns the kernel's name for it, such as "dm-0".

    Raises UsageError if the host has no scratch disk.
    """
    scratch = target.disk(SCRATCH)
    table = f"0 {scratch.size // SECTOR} linear {scratch.path} 0"
    # No udev: dmsetup makes the node itself. Loads dm-delay now, since loading a module later takes memory.
    make = "modprobe dm-mod && modprobe dm-delay && DM_DISABLE_UDEV=1 dmsetup create %s --table %s"
    target.shell.run(make, NAME, table, deadline=deadline)
    # Also opens the control device in the agent, and faults in all code of this path.
    device = int(_ask(target, STATUS, deadline)[DEV])
    return f"dm-{device & 0xFF | device >> 12 & ~0xFF}"  # new_encode_dev(), include/linux/kdev_t.h


def remove(target: Target, deadline: Deadline) -> Completed:
    """Remove the device; a nonzero exit code means that it is in use and stays."""
    return target.shell.run("DM_DISABLE_UDEV=1 dmsetup remove --retry %s", NAME, deadline=deadline, check=False)


def suspend(target: Target, deadline: Deadline) -> None:
    """Suspend the device: requests wait in it until `resume`."""
    if not _ask(target, SUSPEND, deadline, IS_SUSPENDED | AT_ONCE)[FLAGS] & IS_SUSPENDED:
        raise InfraError(f"{target.name}: {DEVICE} was told to suspend, and is not suspended")


def resume(target: Target, deadline: Deadline) -> None:
    """Let waiting requests through; a table that was loaded before takes effect."""
    if _ask(target, SUSPEND, deadline, AT_ONCE)[FLAGS] & IS_SUSPENDED:
        raise InfraError(f"{target.name}: {DEVICE} was told to resume, and is still suspended")


def slow_down(target: Target, milliseconds: int, deadline: Deadline) -> None:
    """Delay every request, read or write, by `milliseconds`; this takes effect just before the function returns."""
    _load(target, "delay", f"{target.disk(SCRATCH).path} 0 {milliseconds}", deadline)
    resume(target, deadline)


def speed_up(target: Target, deadline: Deadline) -> None:
    """Remove the delay, also for requests that wait; needs some memory for the new table."""
    _load(target, "linear", f"{target.disk(SCRATCH).path} 0", deadline)
    resume(target, deadline)


def _load(target: Target, kind: str, parameters: str, deadline: Deadline) -> None:
    text = parameters.encode() + b"\0"
    text += bytes(-len(text) % 8)
    size = target.disk(SCRATCH).size // SECTOR
    _ask(target, LOAD, deadline, table=TARGET.pack(0, size, 0, TARGET.size + len(text), kind.encode()) + text)


def _ask(target: Target, command: int, deadline: Deadline, flags: int = 0, table: bytes = b"") -> tuple[int, ...]:
    """One ioctl of the control device; returns the fields of its header as the kernel left them."""
    size = HEAD.size + len(table)
    head = HEAD.pack(*VERSION, size, HEAD.size, 1 if table else 0, 0, flags, 0, 0, 0, NAME.encode(), b"")
    request = 3 << 30 | HEAD.size << 16 | 0xFD << 8 | command  # _IOWR(DM_IOCTL, command, struct dm_ioctl)
    answer = target.agent.ask("ioctl", path=CONTROL, request=request, data=(head + table).hex(), deadline=deadline)
    try:
        return HEAD.unpack_from(bytes.fromhex(answer))
    except (ValueError, struct.error) as error:
        raise InfraError(f"{target.name}: the agent answered an ioctl with {answer[:80]!r}") from error
