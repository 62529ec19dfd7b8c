"""`-n auto`: as many trials at the same time as this machine runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from harness.model.options import Options, resolve
from harness.model.topology import GIB
from harness.plugin.workers import auto_workers

INVENTORY = """\
[[host]]
name = "c1"
memory = "512 MiB"
[[host]]
name = "s1"
memory = "1536 MiB"
[[topology]]
name = "pair"
roles = {client = "c1", server = "s1"}
"""


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Options:
    """Options of a machine with eight processors and 64 GiB, and an inventory whose largest topology takes 2 GiB."""
    monkeypatch.setattr(psutil.Process, "cpu_affinity", lambda self: list(range(8)))
    memory = SimpleNamespace(total=64 * GIB, available=64 * GIB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    (tmp_path / "inventory.toml").write_text(INVENTORY)
    found = resolve({"inventory": "inventory.toml"}, flag="--", environ={}, ini={}, cwd=tmp_path, root=tmp_path)
    return replace(found, settings=replace(found.settings, accelerator="tcg", state=tmp_path))


def test_a_machine_with_kvm_runs_more_than_one_that_emulates(options: Options) -> None:
    native = replace(options, settings=replace(options.settings, accelerator="kvm"))
    assert 1 < auto_workers(options) < auto_workers(native)


def test_memory_bounds_it(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = SimpleNamespace(total=64 * GIB, available=7 * GIB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    assert auto_workers(options) == 2
    memory.available = GIB
    assert auto_workers(options) == 1, "one trial may wait for memory; none would never end"


def test_an_accelerator_that_nobody_has_tried_yet_counts_as_emulation(options: Options) -> None:
    unknown = replace(options, settings=replace(options.settings, accelerator="auto"))
    assert auto_workers(unknown) == auto_workers(options)


def test_without_an_inventory_the_processors_decide(options: Options) -> None:
    assert auto_workers(replace(options, inventory=None)) == 8
