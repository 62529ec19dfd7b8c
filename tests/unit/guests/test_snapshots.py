"""Snapshots: what makes two guests alike, what is kept, and that nothing damaged is used."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.artifacts.cache import Cache
from harness.artifacts.cache_eviction import USED, keep_within
from harness.drivers.libvirt.save_image import DamagedImage
from harness.guests import snapshots
from harness.guests.snapshots import CONSOLE, DISK, FACTS, IMAGE, KIND, is_wanted, key_of, taken
from harness.model.settings import Settings
from harness.model.topology import MIB, Host
from harness.state.locks import try_lock

HOST = Host(name="a", memory=256 * MIB, cpus=2)


def machine(tmp_path: Path, **changes: Any) -> Any:
    module = tmp_path / "nbd.ko"
    if not module.exists():
        module.write_bytes(b"a module")
    facts: dict[str, Any] = {
        "image": SimpleNamespace(digest="image"),
        "kernel": SimpleNamespace(digest="kernel"),
        "modules": {"drivers/nbd.ko": module},
        "own_modules": {},
        "accelerator": "tcg",
    }
    return SimpleNamespace(**{**facts, **changes})


def key(tmp_path: Path, host: Host = HOST, cards: int = 2, shared: int = 0, **changes: Any) -> dict[str, Any]:
    return key_of(host, machine(tmp_path, **changes), cards=cards, shared=shared, libvirt=9000000)


def test_hosts_that_are_alike_but_for_their_names_share_one(tmp_path: Path) -> None:
    other = replace(HOST, name="b", ssh_port=2222)
    assert key(tmp_path) == key(tmp_path, other)


@pytest.mark.parametrize(
    "change",
    [{"memory": 512 * MIB}, {"cpus": 1}, {"disk": 4096 * MIB}, {"scratch": MIB}, {"cmdline": "quiet"}],
    ids=lambda change: next(iter(change)),
)
def test_another_size_or_command_line_is_another_guest(tmp_path: Path, change: dict[str, Any]) -> None:
    assert key(tmp_path) != key(tmp_path, replace(HOST, **change))


@pytest.mark.parametrize(
    "change",
    [
        {"cards": 1},
        {"shared": MIB},
        {"image": SimpleNamespace(digest="another")},
        {"kernel": SimpleNamespace(digest="another")},
        {"modules": {}},
        {"accelerator": "kvm"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_other_parts_are_another_guest(tmp_path: Path, change: dict[str, Any]) -> None:
    assert key(tmp_path) != key(tmp_path, **change)


def test_a_module_counts_by_its_content(tmp_path: Path) -> None:
    before = key(tmp_path)
    (tmp_path / "nbd.ko").touch()
    assert key(tmp_path) == before
    (tmp_path / "nbd.ko").write_bytes(b"b module")
    assert key(tmp_path) != before


def test_another_boot_script_qemu_or_agent_is_another_guest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = key(tmp_path)
    agent = tmp_path / "agent.py"
    agent.write_text("another")
    qemu = tmp_path / "qemu"
    qemu.write_text("another")
    for name, value in (("AGENT", agent), ("which", lambda name: str(qemu))):
        with monkeypatch.context() as patch:
            patch.setattr(snapshots, name, value)
            assert key(tmp_path) != before
    assert key(tmp_path) == before


def test_who_gets_none(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path, cache=tmp_path, results=tmp_path)
    assert is_wanted(settings)
    assert not is_wanted(replace(settings, cold=True))
    assert not is_wanted(replace(settings, uri="qemu:///system"))


def build(size: int = 1000) -> Any:
    def fill(folder: Path) -> None:
        (folder / IMAGE).write_bytes(b"i" * size)
        (folder / DISK).write_bytes(b"disk")
        (folder / CONSOLE).write_bytes(b"Linux version\n")
        snapshots.write_facts(folder)

    return fill


def made(cache: Cache, name: str, used: float) -> Path:
    """A snapshot that was last used at `used`."""
    with taken(cache, {"name": name}, build(), memory=0) as snapshot:
        pass
    os.utime(snapshot.entry / USED, (used, used))
    return snapshot.entry


def test_made_once_and_then_found(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    first = made(cache, "a", 1.0)
    with taken(cache, {"name": "a"}, lambda folder: pytest.fail("made again"), memory=0) as snapshot:
        assert snapshot.entry == first and snapshot.console == b"Linux version\n"
        assert (first / USED).stat().st_mtime > 1.0
        snapshot.check_disk()


def test_the_longest_unused_go_first(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    old, older, new = made(cache, "a", 2.0), made(cache, "b", 1.0), made(cache, "c", 3.0)
    assert keep_within(cache, KIND, 3500) == []
    assert keep_within(cache, KIND, 2500) == [older]
    assert keep_within(cache, KIND, 1500) == [old]
    assert [entry for entry in cache.entries() if entry.parent.name == KIND] == [new]


def test_one_that_is_in_use_stays(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    entry = made(cache, "a", 1.0)
    with taken(cache, {"name": "a"}, build(), memory=0):
        assert keep_within(cache, KIND, 0) == []
    assert keep_within(cache, KIND, 0) == [entry] and not entry.exists()


def test_two_guests_may_start_from_one(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    with taken(cache, {"name": "a"}, build(), memory=0) as one, taken(cache, {"name": "a"}, build(), memory=0) as two:
        assert one.entry == two.entry
        assert try_lock(one.entry / USED) is None


def test_other_entries_of_the_cache_do_not_count(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    image = cache.get_or_build("image", {"x": 1}, lambda folder: (folder / "root").touch())
    assert keep_within(cache, KIND, 0) == [] and image.exists()


def test_a_disk_that_changed(tmp_path: Path) -> None:
    with taken(Cache(tmp_path), {"name": "a"}, build(), memory=0) as snapshot:
        snapshot.disk.write_bytes(b"dusk")
        with pytest.raises(DamagedImage, match="changed after it was saved"):
            snapshot.check_disk()


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"saved": 1, "image_crc": "x", "disk_crc": 2}'])
def test_facts_that_cannot_be_read(tmp_path: Path, text: str) -> None:
    cache = Cache(tmp_path)
    entry = made(cache, "a", 1.0)
    size = (entry / FACTS).stat().st_size
    (entry / FACTS).write_text(text.ljust(size))
    with pytest.raises(DamagedImage, match="cannot be read"), taken(cache, {"name": "a"}, build(), memory=0):
        pass
    assert not entry.exists(), "the next guest makes it again"


def test_a_file_of_another_size_is_made_again(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    entry = made(cache, "a", 1.0)
    (entry / IMAGE).write_bytes(b"cut")
    with taken(cache, {"name": "a"}, build(), memory=0) as snapshot:
        assert snapshot.image.stat().st_size == 1000
