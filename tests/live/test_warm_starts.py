"""Guests that start from snapshots: each is somebody of its own, they reach each other, and damage is not used."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from live_site import live_site
from live_trials import guests_of

from harness.artifacts.cache import Cache
from harness.guests.restore import RESTORE_S
from harness.guests.snapshots import IMAGE, KIND
from harness.model.clock import Deadline
from harness.model.settings import Settings
from harness.model.topology import MIB, Host, Link, SharedDisk, Topology
from harness.site.target import Site, Target

NAMES = ("one", "two")
FACTS = """\
hostname; cat /etc/machine-id; ip -o link show eth1 | sed 's/.*ether \\([0-9a-f:]*\\).*/\\1/'
ip -o -4 address show eth1 | awk '{print $4}'; cat /run/harness/ssh_host_ed25519_key | md5sum
cat /proc/sys/kernel/random/uuid; python3 -c 'import random; print(random.random())'"""
CLOCK_S = 2.0


class Steps:
    """Notes what the lab says."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def step(self, what: str, done: float | None = None) -> None:
        """See `Progress.step`."""
        self.lines.append(what)

    def count(self, word: str) -> int:
        """How many lines have `word` in them."""
        return sum(word in line for line in self.lines)


def twins() -> Topology:
    """Two guests that differ in their names only, on one segment, with a scratch disk each and one that they share."""
    hosts = tuple(Host(name=name, memory=192 * MIB, cpus=1, scratch=64 * MIB) for name in NAMES)
    topology = Topology(name="twins", hosts=hosts, links=(Link(name="cluster", hosts=NAMES),))
    return replace(topology, shared_disk=SharedDisk(hosts=NAMES, size=32 * MIB))


@pytest.fixture
def warm(settings: Settings, tmp_path: Path) -> Settings:
    """Settings with no snapshot yet, and everything else from the cache."""
    cache = tmp_path / "cache"
    cache.mkdir()
    for entry in settings.cache.iterdir():
        if entry.name != KIND:
            (cache / entry.name).symlink_to(entry)
    return replace(settings, cache=cache)


@contextmanager
def up(settings: Settings, topology: Topology, folder: Path) -> Iterator[tuple[Site, Steps]]:
    steps = Steps()
    with live_site(settings, topology, folder, notes=steps) as site:
        yield site, steps


def facts(target: Target) -> list[str]:
    return target.shell.run(FACTS, deadline=Deadline.after(RESTORE_S)).stdout.splitlines()


def clock_error(target: Target) -> float:
    """Seconds by which a guest's clock is off, at most."""
    before = time.time()
    shown = float(target.shell.run("date +%s.%N", deadline=Deadline.after(RESTORE_S)).stdout)
    return max(0.0, before - shown, shown - time.time())


def test_clones_are_somebody_of_their_own_and_reach_each_other(warm: Settings, state: Path, tmp_path: Path) -> None:
    seen: list[list[str]] = []
    for number in range(2):
        with up(warm, twins(), tmp_path) as (site, steps):
            assert (steps.count("booting once"), steps.count("restored as it was")) == (1 - number, 2)
            targets = [site.targets[name] for name in NAMES]
            found = [facts(target) for target in targets]
            assert [words[0] for words in found] == list(NAMES)
            assert [words[3] for words in found] == ["10.77.0.1/24", "10.77.0.2/24"]
            assert all(one != two for one, two in zip(*found, strict=True)), "nothing in common"
            seen += found
            for target, other in zip(targets, reversed(NAMES), strict=True):
                # By name: over the segment, and to the other's own SSH host key.
                target.shell.run("ping -c 1 -W 20 %s", other, deadline=Deadline.after(RESTORE_S))
                assert clock_error(target) < CLOCK_S
                assert target.facts.slowdown > 0
            sizes = targets[0].shell.run("cat /sys/block/vd[cd]/size", deadline=Deadline.after(RESTORE_S)).stdout
            assert sizes.split() == [str(64 * MIB // 512), str(32 * MIB // 512)]
            assert b"Linux version" in (tmp_path / "one.console").read_bytes()
    same = {number for number, words in enumerate(zip(seen[0], seen[2], strict=True)) if len(set(words)) == 1}
    assert same == {0, 2, 3}, "but for name, MAC and address, a guest is another one at each start"
    assert not guests_of(state)


def test_a_damaged_snapshot_is_not_used_and_a_cold_start_uses_none(warm: Settings, tmp_path: Path) -> None:
    topology = Topology(name="single", hosts=(Host(name="one", memory=192 * MIB),))
    with up(warm, topology, tmp_path):
        pass
    (entry,) = [entry for entry in Cache(warm.cache).entries() if entry.parent.name == KIND]
    with (entry / IMAGE).open("r+b") as image:
        image.seek(-(1 << 20), 2)
        byte = image.read(1)
        image.seek(-1, 1)
        image.write(bytes([byte[0] ^ 0x55]))
    with up(warm, topology, tmp_path) as (site, steps):
        assert steps.count("one: booted, since it could not be restored") == 1
        assert steps.count("changed after it was saved") == 1
        assert facts(site.targets["one"])[0] == "one"
    assert not entry.exists()
    with up(replace(warm, cold=True), topology, tmp_path) as (site, steps):
        assert not steps.lines
        assert facts(site.targets["one"])[0] == "one"
