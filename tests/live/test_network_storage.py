"""Storage over a network, with real servers: it comes up, carries a light load, and leaves nothing of itself behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from live_site import live_site
from live_trials import make_traces

from harness.model.settings import Settings
from harness.model.topology import GIB, MIB, Host, Link, Topology
from harness.site.target import Site
from harness.storage.aoe import AoeDisk
from harness.storage.base import Storage
from harness.storage.iscsi import IscsiDisk
from harness.storage.iscsi_target import LIO
from harness.storage.smb import SmbDisk
from harness.storage.swap import Swap

pytestmark = pytest.mark.slow

STORAGES: dict[str, Storage] = {
    "iscsi-tgt": IscsiDisk(ratio=0.1),
    "iscsi-lio": IscsiDisk(ratio=0.1, program=LIO),
    "aoe": AoeDisk(ratio=0.1),
    "smb": SmbDisk(ratio=0.1),
    "swap": Swap(on=AoeDisk(ratio=0.1)),
}
FRONT = Host(name="front", memory=384 * MIB, cpus=2, scratch=GIB)
BACK = Host(name="back", memory=384 * MIB, scratch=GIB)
LINK = Link(name="cluster", hosts=("front", "back"), subnet="10.77.0.0/24")
TOPOLOGIES = {
    "loopback": Topology(name="loopback", hosts=(FRONT,), roles={"client": "front", "server": "front"}),
    "remote": Topology(name="pair", hosts=(FRONT, BACK), roles={"client": "front", "server": "back"}, links=(LINK,)),
}
# What is there of a host: a server's or client's tasks, mounts, swap, modules, disks, network interfaces, files.
# cifs of Debian's 6.1 does not let go of `nls_utf8`: that stays in use by one when cifs itself has been unloaded.
SEEN = """\
pgrep -l 'tgtd|iscsid|vblade|smbd|cifsd|aoe'; cut -d' ' -f1-3 /proc/mounts; tail -n +2 /proc/swaps; \
cut -d' ' -f1 /proc/modules | grep -vE '_diag$|^nls_utf8$' | sort; \
ls /sys/block /sys/class/net /srv /mnt /run/harness/storage; ls /sys/class/iscsi_session 2>/dev/null; true"""


@pytest.fixture(params=list(TOPOLOGIES))
def site(settings: Settings, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    """A client and a server: two guests, or one that is both."""
    topology = TOPOLOGIES[request.param]
    with live_site(settings, topology, tmp_path) as site:
        yield site


def _seen(site: Site) -> dict[str, list[str]]:
    deadline = site.deadline(10)
    return {
        name: target.shell.run(SEEN, deadline=deadline, check=False).stdout.splitlines()
        for name, target in site.targets.items()
    }


def _carry(site: Site, storage: Storage) -> None:
    """As a trial does it: the agent has the storage open; then write through the page cache, and read it back."""
    probe, client = storage.set_up(site), site.role("client")
    client.agent.ask("storage", **probe.spec, deadline=site.deadline(5))
    client.agent.ask("stats", files=dict(probe.counters), deadline=site.deadline(5))
    # A file that is opened is read as well; what is there and nothing else has no complaints.
    assert not client.agent.ask("open", paths=list(probe.evidence), deadline=site.deadline(5))
    assert storage.baseline(site) > 0
    if isinstance(storage, Swap):
        swaps = client.shell.run("cat /proc/swaps", deadline=site.deadline(5)).stdout
        assert len(swaps.splitlines()) == 2, "the baseline is over: it swaps"
        return
    path = getattr(storage, "path", "")
    copy = "head -c 4M /dev/urandom >/run/known && dd if=/run/known of=%s bs=64k conv=notrunc,fsync"
    again = "echo 1 >/proc/sys/vm/drop_caches; cmp -n 4194304 /run/known %s && rm /run/known"
    client.shell.run(f"{copy} && {again}", path, path, deadline=site.deadline(20))


def test_a_storage_comes_carries_a_load_and_goes_without_a_trace(site: Site) -> None:
    before: dict[str, list[str]] = {}
    for name, storage in STORAGES.items():
        site.role("client").shell.run("mkdir -p /run/harness/storage", deadline=site.deadline(5))
        site.role("server").shell.run("mkdir -p /run/harness/storage", deadline=site.deadline(5))
        before = before or _seen(site)
        traces = make_traces()
        traces.look(site)
        _carry(site, storage)
        # As a trial does it: a file of debugfs that is open keeps the module that it belongs to.
        site.role("client").agent.ask("close", deadline=site.deadline(5))
        storage.tear_down(site)
        traces.compare(site)
        left = {host: sorted(set(lines) ^ set(before[host])) for host, lines in _seen(site).items()}
        assert not any(left.values()), f"{name}: {left}"
