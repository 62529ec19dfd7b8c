"""The mapped disk as storage: its three uses, and that a tear-down goes on whatever fails."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest
from fakes import agent_of, hypervisor_of, make_site, make_topology, no_answer, shell_of

from harness.model.errors import InfraError, UsageError
from harness.model.topology import MIB
from harness.site.target import Site
from harness.storage.mapped import EVIDENCE, MappedDisk

SIZE = 64 * MIB
DD = "8388608 bytes (8.4 MB, 8.0 MiB) copied, {} s, 33 MB/s\n"
RESUMED = "00" * 40 + "00fd000000000000" + "00" * 264  # of a device 253:0


@pytest.fixture
def site() -> Site:
    topology = make_topology()
    hosts = tuple(replace(host, scratch=SIZE) for host in topology.hosts)
    site = make_site(replace(topology, hosts=hosts))
    for target in site.targets.values():
        agent_of(target).replies["ioctl"] = RESUMED
    return site


def commands(site: Site) -> list[str]:
    return shell_of(site.role("client")).commands


def test_a_use_that_there_is_not() -> None:
    with pytest.raises(UsageError, match="no use 'ram'; there are: raw, file, swap"):
        MappedDisk(use="ram")


def test_a_host_without_a_scratch_disk_is_refused_before_anything_is_done() -> None:
    site = make_site()
    with pytest.raises(UsageError, match="no scratch disk"):
        MappedDisk().set_up(site)
    assert not commands(site)


def test_raw_the_probe_stays_clear_of_the_load(site: Site) -> None:
    disk = MappedDisk()
    probe = disk.set_up(site)
    assert disk.path == "/dev/mapper/harness"
    assert probe.spec == {"path": disk.path, "offset": SIZE - MIB, "write": True}
    assert probe.host == "c1" and probe.counters == {"dm-0": "/sys/block/dm-0/stat", "vdc": "/sys/block/vdc/stat"}
    assert {"/sys/block/dm-0/inflight", "/sys/block/vdc/inflight", "/proc/meminfo"} <= set(probe.evidence)
    assert len(probe.evidence) == len(EVIDENCE) and not any("/dm/" in path for path in probe.evidence)


def test_a_file_the_probe_has_one_of_its_own(site: Site) -> None:
    disk = MappedDisk(use="file")
    probe = disk.set_up(site)
    make = commands(site)[-1]
    assert make.startswith("mkfs.ext4 ") and make.endswith("mount /dev/mapper/harness /srv/harness")
    assert disk.mount == "/srv/harness" and disk.path == "/srv/harness/work"
    assert probe.spec == {"path": "/srv/harness/probe", "offset": 0, "write": True, "create": True}


def test_swap_the_probe_only_reads(site: Site) -> None:
    probe = MappedDisk(use="swap").set_up(site)
    assert probe.spec == {"path": "/dev/mapper/harness", "offset": SIZE - MIB, "write": False}
    assert not any("swapon" in command for command in commands(site))


@pytest.mark.parametrize(
    ("use", "figures", "rate", "after"),
    [
        ("raw", DD.format("0.5"), 4096.0, []),
        ("file", DD.format("2"), 1024.0, ["rm /srv/harness/baseline"]),
        (
            "swap",
            DD.format("0.5") + DD.format("1.5"),
            2048.0,
            ["mkswap /dev/mapper/harness >/dev/null && swapon /dev/mapper/harness"],
        ),
    ],
)
def test_the_baseline_counts_pages(site: Site, use: str, figures: str, rate: float, after: list[str]) -> None:
    shell_of(site.role("client")).answer("dd if=", figures)
    assert MappedDisk(use=use).baseline(site) == rate
    copy, *rest = commands(site)
    assert rest == after and copy.count("direct") == figures.count("copied")


@pytest.mark.parametrize("use", ["raw", "file", "swap"])
def test_what_a_fault_left_is_undone_before_the_device_is_let_go(site: Site, use: str) -> None:
    client = site.role("client")
    MappedDisk(use=use).tear_down(site)
    assert hypervisor_of(client).acts == ["throttle scratch None"]
    assert agent_of(client).asked[-2:] == [("storage", {"path": None}), ("close", {})]
    assert agent_of(client).verbs[:3] == ["ioctl"] * 3
    release = commands(site)[:-1]
    assert commands(site)[-1].endswith("dmsetup remove --retry harness")
    expected = {"raw": "", "file": "fsfreeze -u /srv/harness; ", "swap": "! grep -qE"}[use]
    assert "".join(release).startswith(expected) and len(release) == (use != "raw")


def test_a_step_that_fails_does_not_end_the_tear_down(site: Site) -> None:
    client = site.role("client")
    agent_of(client).replies["ioctl"] = no_answer("ioctl")
    shell_of(client).answer("swapoff", exit_code=1)
    shell_of(client).answer("dmsetup remove", exit_code=1)
    with pytest.raises(InfraError, match=r"c1: .*no answer.*; .*exit code 1.*; /dev/mapper/harness is still there"):
        MappedDisk(use="swap").tear_down(site)
    assert len(commands(site)) == 2


def test_every_command_is_whole_and_has_a_deadline() -> None:
    topology = make_topology()
    topology = replace(topology, hosts=tuple(replace(host, scratch=SIZE) for host in topology.hosts))
    site = make_site(topology, slowdown=12.0)
    client = site.role("client")
    agent_of(client).replies["ioctl"] = RESUMED
    shell_of(client).answer("dd if=", DD.format("0.5"))
    disk = MappedDisk(use="file")
    disk.set_up(site)
    disk.baseline(site)
    disk.tear_down(site)
    for command in commands(site):
        shlex.split(command)
        assert "%" not in command
    assert all(100 < deadline.remaining < 600 for deadline in shell_of(client).deadlines)
    assert disk.critical_tasks == () and disk.bound_s == 0.0 and "client" in disk.describe()
