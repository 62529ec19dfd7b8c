"""Storage that is made to fail on a real guest: it stops, it goes on, and nothing of it is left."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from live_site import live_site

from harness.faults.base import Fault
from harness.faults.storage import DmDelay, DmSuspend, Freeze, Throttle
from harness.model.settings import Settings
from harness.model.topology import GIB, MIB, Host, Topology
from harness.site.target import Site
from harness.storage.mapped import MappedDisk

DONE = "/run/write-done"
WAIT_S = 5.0  # hundreds of times what a write takes
TRICKLE = 1024


@pytest.fixture(scope="module")
def site(shared_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A guest with a scratch disk, in the role `client`; every test leaves it as it was."""
    host = Host(name="client", memory=256 * MIB, cpus=2, scratch=GIB)
    topology = Topology(name="one", hosts=(host,), roles={"client": "client"})
    with live_site(shared_settings, topology, tmp_path_factory.mktemp("guest")) as site:
        yield site


def _run(site: Site, command: str) -> str:
    return site.role("client").shell.run(command, deadline=site.deadline(10), check=False).stdout.strip()


def _begin_write(site: Site, path: str) -> None:
    """One synchronous write past the page cache, in the background; its exit code will be in DONE."""
    write = f"dd if=/dev/zero of={path} bs=4k count=64 oflag=direct,dsync conv=notrunc"
    _run(site, f"rm -f {DONE}; ({write}; echo $? >{DONE}) >/dev/null 2>&1 </dev/null &")


def _await_write(site: Site) -> str:
    deadline = site.deadline(10)
    while not (code := _run(site, f"cat {DONE}")):
        assert not deadline.passed, "the write never came back"
    return code


def _prepare(site: Site, disk: MappedDisk) -> None:
    """As a trial does it: the agent has the storage open."""
    probe, agent = disk.set_up(site), site.role("client").agent
    agent.ask("storage", **probe.spec, deadline=site.deadline(5))
    agent.ask("stats", files=dict(probe.counters), deadline=site.deadline(5))
    # A file that is opened is read as well; a device that is there and nothing else has no complaints.
    assert not agent.ask("open", paths=list(probe.evidence), deadline=site.deadline(5))
    assert disk.baseline(site) > 0


def _nothing_left(site: Site) -> None:
    assert _run(site, "dmsetup ls") == "No devices found"
    assert _run(site, "grep -E 'dm-|mapper|/srv/harness' /proc/mounts; tail -n +2 /proc/swaps; ls /srv") == ""


@pytest.mark.parametrize(
    ("use", "fault"),
    [
        ("raw", DmSuspend(role="client")),
        ("raw", DmDelay(role="client", milliseconds=30_000)),
        ("raw", Throttle(role="client", disk="scratch", bytes_per_s=TRICKLE)),
        ("file", Freeze(role="client", mount=MappedDisk(use="file").mount)),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_write_does_not_come_back_until_the_fault_is_healed(site: Site, use: str, fault: Fault) -> None:
    disk = MappedDisk(use=use)
    _prepare(site, disk)
    _begin_write(site, disk.path)
    assert _await_write(site) == "0", "healthy"
    fault.inject(site)
    _begin_write(site, disk.path)
    time.sleep(WAIT_S)
    assert _run(site, f"cat {DONE}") == "", "under the fault"
    fault.heal(site)
    assert _await_write(site) == "0", "healed"
    disk.tear_down(site)
    _nothing_left(site)


@pytest.mark.parametrize("use", ["raw", "file", "swap"])
def test_a_tear_down_undoes_what_was_never_healed(site: Site, use: str) -> None:
    disk = MappedDisk(use=use)
    _prepare(site, disk)
    faults: list[Fault] = [Throttle(role="client", disk="scratch", bytes_per_s=TRICKLE), DmSuspend(role="client")]
    for fault in [Freeze(role="client", mount=disk.mount), *faults] if use == "file" else faults:
        fault.inject(site)
    disk.tear_down(site)
    _nothing_left(site)
