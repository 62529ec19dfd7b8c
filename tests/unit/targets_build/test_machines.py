"""Which modules of a host replace one of the kernel's, and which only lie there."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.model.observe import Silent
from harness.model.settings import Settings
from harness.model.topology import MIB, Host
from harness.targets import machines
from harness.targets.machines import machines_for


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Nothing is built: a kernel that has nbd, and modules that are files of the variant's name."""
    folder = tmp_path / "6.1.0-1-amd64"
    folder.mkdir()
    (folder / "modules.dep").write_text("kernel/drivers/block/nbd.ko:\n")
    kernel = SimpleNamespace(release=folder.name, modules_dir=folder)
    monkeypatch.setattr(machines, "build_image", lambda *_: None)
    monkeypatch.setattr(machines, "find_kernel", lambda *_: kernel)
    monkeypatch.setattr(machines, "find_accelerator", lambda *_: "tcg")
    monkeypatch.setattr(machines, "build_variant", lambda _settings, _kernel, name, _progress: Path(f"{name}.built"))
    monkeypatch.setattr(machines, "check_module", lambda file, _release: SimpleNamespace(name="nbd"))
    return folder.name


def test_a_module_of_our_own_replaces_none_and_still_comes_along(tmp_path: Path, release: str) -> None:
    settings = Settings(state=tmp_path, cache=tmp_path, results=tmp_path)
    host = Host(name="a", memory=MIB, modules=("nbd-no-memalloc", "harness-fault"))
    plain = Host(name="b", memory=MIB)
    made = machines_for(settings, [host, plain], Silent())
    assert made["a"].modules == {"kernel/drivers/block/nbd.ko": Path("nbd-no-memalloc.built")}
    assert made["a"].own_modules == {"harness_fault": Path("harness-fault.built")}
    assert (made["b"].modules, made["b"].own_modules) == ({}, {})
