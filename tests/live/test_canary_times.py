"""Canaries, copies and loads by name on a real guest: what they say is held against what was done to the guest."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from live_site import live_site

from harness.faults.storage import DmSuspend
from harness.model.measure import Measure
from harness.model.settings import Settings
from harness.model.topology import GIB, MIB, Host, Topology
from harness.monitors.instruments.canaries import Canaries
from harness.site.target import Site
from harness.storage.loop import LoopDisk
from harness.storage.mapped import MappedDisk
from harness.storage.swap import Swap
from harness.storage.tmpfs import Tmpfs
from harness.workloads.base import Workload
from harness.workloads.copy import Copy
from harness.workloads.named import Fio, StressNg
from harness.workloads.paced import Paced

pytestmark = pytest.mark.slow

OUTAGE_S = 6.0
SECONDS = 20.0


class _Progress:
    """Listens to a guest: `newest` is what its workload last reported."""

    def __init__(self) -> None:
        self.newest: list[int] | None = None

    @property
    def over(self) -> bool:
        """Whether every worker has come to its end."""
        return self.newest is not None and self.newest[3] + self.newest[4] == self.newest[2]

    def on_console(self, host: str, data: bytes) -> None:
        """See `Listener.on_console`."""

    def on_record(self, host: str, record: dict[str, Any]) -> None:
        """See `Listener.on_record`."""
        self.newest = record.get("w") or self.newest


@pytest.fixture(scope="module")
def progress() -> _Progress:
    return _Progress()


@pytest.fixture(scope="module")
def site(shared_settings: Settings, tmp_path_factory: pytest.TempPathFactory, progress: _Progress) -> Iterator[Site]:
    """A guest with a scratch disk, in the role `client`; every test leaves it as it was."""
    host = Host(name="client", memory=512 * MIB, cpus=2, scratch=GIB)
    topology = Topology(name="one", hosts=(host,), roles={"client": "client"})
    with live_site(shared_settings, topology, tmp_path_factory.mktemp("guest"), listener=progress) as site:
        yield site


def _run(site: Site, command: str) -> str:
    return site.role("client").shell.run(command, deadline=site.deadline(10), check=False).stdout.strip()


def _do(site: Site, load: Workload, progress: _Progress) -> list[int]:
    """The load from its launch to its end, as a trial watches it; returns what it reported last."""
    assert (load.baseline(site) or 1.0) > 0
    prepared = load.prepare(site)
    agent = site.role("client").agent
    agent.ask("progress", path=prepared.path, deadline=site.deadline(5))
    progress.newest = None
    load.launch(site)
    deadline = site.deadline(load.limit_s)
    while not progress.over:
        assert not deadline.passed, progress.newest
        time.sleep(0.5)
    # A worker that has finished counts as alive until its parent has collected it.
    while _reported(progress)[5] and not deadline.passed:
        time.sleep(0.5)
    done = _reported(progress)
    agent.ask("progress", path=None, deadline=site.deadline(5))
    assert done[4] == 0, _run(site, f"cat {prepared.log}")
    return done


def _reported(progress: _Progress) -> list[int]:
    assert progress.newest is not None
    return list(progress.newest)


def _by_name(measures: object) -> dict[str, float]:
    assert isinstance(measures, list)
    return {measure.name: float(measure.value) for measure in measures if isinstance(measure, Measure)}


def test_a_disk_that_stands_still_is_seen_by_the_canary_that_writes_to_it_and_by_no_other(
    site: Site, tmp_path: Path
) -> None:
    disk = MappedDisk(use="file")
    disk.set_up(site)
    disk.baseline(site)
    canaries = Canaries(writer=f"{disk.mount}/canary", calm_s=5.0)
    canaries.prepare(site)
    canaries.launch(site)
    time.sleep(3.0)
    fault = DmSuspend(role="client")
    fault.inject(site)
    time.sleep(OUTAGE_S)
    fault.heal(site)
    time.sleep(3.0)
    found = _by_name(canaries.measures(site, tmp_path))
    assert found["writer load worst"] >= OUTAGE_S * 1000
    assert found["writer calm worst"] < found["writer load worst"]
    assert all(found[f"{name} load worst"] < OUTAGE_S * 1000 for name in ("fork", "date", "ls"))
    assert 0 < found["writer load p50"] < found["writer load p99"] <= found["writer load worst"]
    assert "under load" in (tmp_path / "canaries-client.txt").read_text(encoding="utf-8")
    canaries.end(site)
    assert not _run(site, "pgrep -f canaries.py"), "told to stop, they are gone"
    disk.tear_down(site)


@pytest.mark.parametrize("direct_io", [False, True])
def test_a_copy_onto_a_loop_device_beside_a_time_critical_writer_leaves_nothing_behind(
    site: Site, tmp_path: Path, progress: _Progress, direct_io: bool
) -> None:
    disk = MappedDisk(use="file")
    loop = LoopDisk(disk=disk, use="file", size=256 * MIB, direct_io=direct_io)
    store = Tmpfs(disk=loop, share=0.2)
    probe, agent = store.set_up(site), site.role("client").agent
    agent.ask("storage", **probe.spec, deadline=site.deadline(5))
    agent.ask("stats", files=dict(probe.counters), deadline=site.deadline(5))
    assert not agent.ask("open", paths=list(probe.evidence), deadline=site.deadline(5))
    assert store.baseline(site) > 0
    beside = Copy(method="direct", source=store.source, target=loop.path)
    done = _do(site, Paced(path="/var/tmp/paced", beside=beside), progress)
    assert done[0] > 0 and _run(site, f"cmp {store.source} {loop.path} && echo same") == "same"
    taken = _by_name(store.measures(site, tmp_path))["memory in tmpfs"]
    assert taken >= int(site.role("client").facts.memory * 0.2) // MIB
    store.tear_down(site)
    assert _run(site, "losetup -n -a; dmsetup ls | grep -v 'No devices'; grep /srv/harness /proc/mounts; ls /srv") == ""


def test_swap_on_a_loop_device_takes_pages_and_is_gone_afterwards(site: Site) -> None:
    swap = Swap(on=LoopDisk(disk=MappedDisk(use="file"), size=64 * MIB))
    probe = swap.set_up(site)
    site.role("client").agent.ask("storage", **probe.spec, deadline=site.deadline(5))
    assert swap.baseline(site) > 0
    assert _run(site, "tail -n +2 /proc/swaps | cut -d' ' -f1").startswith("/dev/loop")
    swap.tear_down(site)
    assert _run(site, "tail -n +2 /proc/swaps; losetup -n -a") == ""


@pytest.mark.parametrize(
    "load",
    [
        Fio(path="/var/tmp/fio", size="16M", seconds=SECONDS, options={"bs": "4k", "fsync": 1}),
        StressNg(stressor="vm", seconds=SECONDS, options={"vm-bytes": "16M"}),
        StressNg(stressor="hdd", seconds=SECONDS, options={"hdd-bytes": "16M"}),
    ],
    ids=lambda load: load.describe().split()[2] + load.describe().split()[3],
)
def test_what_a_load_by_name_does_is_counted_while_it_does_it(
    site: Site, tmp_path: Path, progress: _Progress, load: Fio | StressNg
) -> None:
    done = _do(site, load, progress)
    assert done[0] > 0 and done[2:] == [2, 2, 0, 0]
    if isinstance(load, StressNg):
        assert _by_name(load.measures(site, tmp_path))["bogus operations"] > 0
