"""The mapped disk: what goes over the shell, and what the agent is asked to tell the kernel."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest
from fakes import agent_of, make_target, make_topology, shell_of

from harness.model.clock import Deadline
from harness.model.errors import InfraError, UsageError
from harness.model.topology import GIB, MIB
from harness.site import dm_device
from harness.site.facts import Disk
from harness.site.target import Target

NOW = Deadline.after(10.0)
# As strace of dmsetup shows them.
DM_DEV_SUSPEND, DM_DEV_STATUS, DM_TABLE_LOAD = 0xC138FD06, 0xC138FD07, 0xC138FD09
SECTORS = 64 * MIB // 512


@pytest.fixture
def target() -> Target:
    return with_scratch(make_target(make_topology(), "c1"), 64 * MIB)


def with_scratch(target: Target, size: int) -> Target:
    disks = {"scratch": Disk(path="/dev/vdc", size=size)}
    return replace(target, facts=replace(target.facts, disks=disks))


def kernel_says(target: Target, *, flags: int = 0, device: int = 0) -> None:
    answer = struct.pack("=IIIIIIiIIIQ", 4, 47, 0, 312, 312, 0, 0, flags, 0, 0, device) + b"harness".ljust(264, b"\0")
    agent_of(target).replies["ioctl"] = answer.hex()


def asked(target: Target) -> list[tuple[int, int, bytes]]:
    """(request, flags, what follows the header) of every ioctl."""
    found = []
    for verb, arguments in agent_of(target).asked:
        assert verb == "ioctl" and arguments["path"] == "/dev/mapper/control"
        data = bytes.fromhex(str(arguments["data"]))
        assert struct.unpack_from("=I", data, 12) == (len(data),) and data[48:56] == b"harness\0"
        assert isinstance(arguments["request"], int)
        found.append((arguments["request"], struct.unpack_from("=I", data, 28)[0], data[312:]))
    return found


@pytest.mark.parametrize(("device", "name"), [(253 << 8, "dm-0"), (253 << 8 | 7, "dm-7"), (0x10FD02, "dm-258")])
def test_it_is_made_over_the_scratch_disk_and_the_kernel_says_its_name(target: Target, device: int, name: str) -> None:
    kernel_says(target, device=device)
    assert dm_device.create(target, NOW) == name
    (make,) = shell_of(target).commands
    assert make.startswith("modprobe dm-mod && modprobe dm-delay && DM_DISABLE_UDEV=1 dmsetup create harness --table")
    assert make.endswith(f"'0 {SECTORS} linear /dev/vdc 0'")
    assert [request for request, _, _ in asked(target)] == [DM_DEV_STATUS]


def test_a_host_without_a_scratch_disk_is_told_how_to_get_one() -> None:
    target = make_target(make_topology(), "c1")
    with pytest.raises(UsageError, match=r"host 'c1' has no scratch disk; give it one, such as scratch = \"1 GiB\""):
        dm_device.create(target, NOW)
    assert not shell_of(target).commands


def test_a_suspend_flushes_nothing_and_is_checked(target: Target) -> None:
    kernel_says(target, flags=1 << 1)
    dm_device.suspend(target, NOW)
    assert asked(target) == [(DM_DEV_SUSPEND, 1 << 1 | 1 << 10 | 1 << 11, b"")]
    kernel_says(target, flags=0)
    with pytest.raises(InfraError, match="c1: /dev/mapper/harness was told to suspend, and is not suspended"):
        dm_device.suspend(target, NOW)


def test_a_resume_is_checked(target: Target) -> None:
    kernel_says(target)
    dm_device.resume(target, NOW)
    assert asked(target) == [(DM_DEV_SUSPEND, 1 << 10 | 1 << 11, b"")]
    kernel_says(target, flags=1 << 1)
    with pytest.raises(InfraError, match="still suspended"):
        dm_device.resume(target, NOW)


def test_nothing_is_run_over_the_shell_once_it_is_there(target: Target) -> None:
    kernel_says(target)
    dm_device.slow_down(target, 5, NOW)
    dm_device.speed_up(target, NOW)
    dm_device.resume(target, NOW)
    assert not shell_of(target).commands


@pytest.mark.parametrize(("size", "milliseconds"), [(64 * MIB, 4000), (GIB, 1), (MIB, 20_000)])
def test_a_table_is_loaded_and_then_takes_effect(target: Target, size: int, milliseconds: int) -> None:
    target = with_scratch(target, size)
    kernel_says(target)
    dm_device.slow_down(target, milliseconds, NOW)
    dm_device.speed_up(target, NOW)
    requests = [request for request, _, _ in asked(target)]
    assert requests == [DM_TABLE_LOAD, DM_DEV_SUSPEND] * 2
    tables = [tail for request, _, tail in asked(target) if request == DM_TABLE_LOAD]
    for table, kind, text in zip(
        tables, (b"delay", b"linear"), (f"/dev/vdc 0 {milliseconds}", "/dev/vdc 0"), strict=True
    ):
        start, length, _, following, name = struct.unpack_from("=QQiI16s", table)
        assert (start, length, name.rstrip(b"\0")) == (0, size // 512, kind)
        assert following == len(table) and len(table) % 8 == 0
        assert table[40:].rstrip(b"\0") == text.encode() and table.endswith(b"\0")


@pytest.mark.parametrize("answer", ["", "no hexadecimal", "00" * 20])
def test_an_answer_that_makes_no_sense(target: Target, answer: str) -> None:
    agent_of(target).replies["ioctl"] = answer
    with pytest.raises(InfraError, match="c1: the agent answered an ioctl with"):
        dm_device.suspend(target, NOW)


def test_a_device_in_use_stays(target: Target) -> None:
    shell_of(target).answer("dmsetup remove", exit_code=1)
    assert dm_device.remove(target, NOW).exit_code == 1
    assert shell_of(target).commands == ["DM_DISABLE_UDEV=1 dmsetup remove --retry harness"]
