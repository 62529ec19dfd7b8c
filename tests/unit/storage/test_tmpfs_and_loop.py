"""Memory filled with a file, and a loop device: what they do on a host, in which order, and that nothing is left."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import agent_of, make_site, make_topology, shell_of

from harness.model.errors import InfraError, ShellError, UsageError
from harness.model.measure import Measure
from harness.model.topology import MIB
from harness.site.target import Site
from harness.storage.loop import LoopDisk
from harness.storage.mapped import MappedDisk
from harness.storage.swap import Swap
from harness.storage.tmpfs import Tmpfs

RESUMED = "00" * 40 + "00fd000000000000" + "00" * 264  # of a device 253:0
DD = "8388608 bytes (8.4 MB, 8.0 MiB) copied, 2.0 s, 4 MB/s\n"
DISK = MappedDisk(use="file")


@pytest.fixture
def site() -> Site:
    topology = make_topology()
    site = make_site(replace(topology, hosts=tuple(replace(host, scratch=64 * MIB) for host in topology.hosts)))
    agent_of(site.role("client")).replies["ioctl"] = RESUMED
    shell = shell_of(site.role("client"))
    shell.answer("losetup --find", "/dev/loop3\n")
    shell.answer("loop3/loop/dio", "0\n")
    return site


def commands(site: Site) -> list[str]:
    return shell_of(site.role("client")).commands


def test_the_file_takes_its_share_of_what_the_kernel_has(site: Site) -> None:
    store = Tmpfs(disk=DISK, share=0.5)
    probe = store.set_up(site)
    assert probe.spec["path"] == "/srv/harness/probe"  # of the disk behind it
    (fill,) = [command for command in commands(site) if "tmpfs" in command]
    assert f"size={128 + 1}m" in fill and f"seq {128}); do cat" in fill and store.source in fill


def test_a_host_that_has_swap_is_refused_before_anything_is_done(site: Site) -> None:
    shell_of(site.role("client")).answer("/proc/swaps", "/dev/vdb partition 1000 0 -2\n")
    with pytest.raises(InfraError, match="c1 has swap"):
        Tmpfs(disk=DISK).set_up(site)
    assert len(commands(site)) == 1


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1])
def test_a_share_that_is_none(share: float) -> None:
    with pytest.raises(UsageError, match="more than 0 and less than 1"):
        Tmpfs(disk=DISK, share=share)


def test_it_tells_what_of_the_memory_is_left(site: Site, tmp_path: Path) -> None:
    agent_of(site.role("client")).replies["read"] = "MemAvailable:   20480 kB\nShmem:   337920 kB\n"
    assert Tmpfs(disk=DISK).measures(site, tmp_path) == [
        Measure(name="memory in tmpfs", value=330, unit="MiB"),
        Measure(name="memory available after the load", value=20, unit="MiB"),
    ]


def test_the_disk_behind_it_is_taken_down_whatever_happens_to_the_memory(site: Site) -> None:
    failed = ShellError(host="c1", command="umount", problem="exit code 32", output="busy")
    shell_of(site.role("client")).replies["harness-memory"] = failed
    with pytest.raises(InfraError, match="exit code 32"):
        Tmpfs(disk=DISK).tear_down(site)
    assert any("dmsetup remove" in command for command in commands(site))


def test_a_loop_device_is_backed_by_a_file_that_is_written_once(site: Site) -> None:
    loop = LoopDisk(disk=DISK, use="file", size=64 * MIB)
    probe = loop.set_up(site)
    text = "\n".join(commands(site))
    assert text.index("mount /dev/mapper") < text.index("dd if=/dev/zero of=/srv/harness/work") < text.index("losetup")
    assert "--direct-io=off" in text and "mount /dev/loop3 /srv/harness-loop" in text
    assert probe.spec == {"path": "/srv/harness-loop/probe", "offset": 0, "write": True, "create": True}
    assert probe.counters["loop3"] == "/sys/block/loop3/stat" and "dm-0" in probe.counters
    assert "/sys/block/loop3/inflight" in probe.evidence and "/proc/meminfo" in probe.evidence


def test_as_a_device_it_can_be_swap_that_the_probe_only_reads(site: Site) -> None:
    loop = LoopDisk(disk=DISK, size=64 * MIB)
    swap = Swap(on=loop)
    shell_of(site.role("client")).answer(f"dd if=/dev/zero of={loop.path}", DD + DD)
    assert swap.set_up(site).spec == {"path": loop.path, "offset": 63 * MIB, "write": False}
    assert not any("mkfs.ext4" in command and "loop" in command for command in commands(site))
    assert swap.baseline(site) == 1024.0
    assert f"swapon {loop.path}" in commands(site)[-1]


def test_a_disk_below_takes_the_place_of_a_file_and_outlives_it(site: Site) -> None:
    loop = LoopDisk(disk=MappedDisk(), size=32 * MIB)
    loop.set_up(site)
    loop.tear_down(site)
    attach, remove = (next(c for c in commands(site) if what in c) for what in ("losetup --find", "losetup -d"))
    assert f"--sizelimit={32 * MIB}" in attach and attach.endswith(f" {MappedDisk().path}")
    assert remove.endswith(f"[ -b {MappedDisk().path} ] || rm -f {MappedDisk().path}")


def test_direct_io_that_the_file_system_refused_is_seen(site: Site) -> None:
    with pytest.raises(InfraError, match="/dev/loop3 has direct I/O 0, not 1"):
        LoopDisk(disk=DISK, direct_io=True).set_up(site)
    assert any("--direct-io=on" in command for command in commands(site))


def test_a_queue_that_merges_nothing_is_put_back_before_the_device_goes(site: Site) -> None:
    loop, loop_link = LoopDisk(disk=DISK, merges=False), "/run/harness/loop"
    assert "no requests merged" in loop.describe() and "merged" not in LoopDisk(disk=DISK).describe()
    loop.set_up(site)
    (off,) = [command for command in commands(site) if "nomerges" in command]
    saved = "/run/harness/loop-nomerges"
    assert off == f"cat /sys/block/loop3/queue/nomerges >{saved} && echo 2 >/sys/block/loop3/queue/nomerges"
    loop.tear_down(site)
    (detach,) = [command for command in commands(site) if "losetup -d" in command]
    back = f"[ ! -e {saved} ] || cat {saved} >/sys/block/${{d#/dev/}}/queue/nomerges; "
    assert detach.index(back) < detach.index("losetup -d") < detach.index(f"rm -f {loop_link} {saved}")


@pytest.mark.parametrize(
    ("given", "problem"),
    [({"use": "swap"}, "no use 'swap'; there are: raw, file"), ({"size": 5}, "a size of 5 bytes; give whole MiB")],
)
def test_what_makes_no_sense_is_refused(given: dict[str, object], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        LoopDisk(disk=DISK, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("use", ["file", "raw"])
def test_every_step_of_the_tear_down_is_taken(site: Site, use: str) -> None:
    shell = shell_of(site.role("client"))
    shell.replies["harness-loop"] = ShellError(host="c1", command="umount", problem="exit code 32", output="busy")
    with contextlib.suppress(InfraError):  # only a file system can be busy
        LoopDisk(disk=DISK, use=use).tear_down(site)
    text = "\n".join(commands(site))
    assert text.index("losetup -d") < text.index("dmsetup remove")
    assert ("storage", {"path": None}) in agent_of(site.role("client")).asked


def test_what_they_say_of_themselves() -> None:
    loop = LoopDisk(disk=DISK, direct_io=True)
    store = Tmpfs(disk=loop, share=0.65)
    assert "past the page cache" in loop.describe() and loop.describe() in store.describe()
    assert store.describe().startswith("65% of the memory") and store.critical_tasks == () and store.bound_s == 0.0
