"""Which accelerator is used: what was asked for, what is remembered, and what a probe found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.guests import accelerator
from harness.guests.accelerator import ProbeResult, find_accelerator
from harness.kernels.kernels import Kernel
from harness.model.observe import Silent
from harness.model.settings import Settings


def settings_for(folder: Path, choice: str = "auto") -> Settings:
    return Settings(state=folder, cache=folder, results=folder, accelerator=choice)


def make_kernel(digest: str = "d1") -> Kernel:
    path = Path("/nowhere")
    return Kernel(
        name="debian:12",
        release="6.1.0",
        version="6.1.1-1",
        vmlinuz=path,
        modules_dir=path,
        modules_image=path,
        initrd=path,
        config=path,
        digest=digest,
    )


class Probes:
    """Stands in for booting a guest; counts how often that was done."""

    def __init__(self, works: bool) -> None:
        self.works, self.count = works, 0

    def __call__(self, name: str, kernel: Kernel, state: Path) -> ProbeResult:
        self.count += 1
        return ProbeResult(name, self.works, 1.0, "")


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "kvm"
    path.touch()
    monkeypatch.setattr(accelerator, "KVM_DEVICE", path)
    return path


@pytest.mark.parametrize(("works", "answer"), [(True, "kvm"), (False, "tcg")])
def test_a_guest_is_booted_once_and_the_answer_remembered(
    tmp_path: Path, device: Path, monkeypatch: pytest.MonkeyPatch, works: bool, answer: str
) -> None:
    probes = Probes(works)
    monkeypatch.setattr(accelerator, "probe", probes)
    for _ in range(2):
        assert find_accelerator(settings_for(tmp_path), make_kernel(), Silent()) == answer
    assert probes.count == 1
    find_accelerator(settings_for(tmp_path), make_kernel("another"), Silent())
    assert probes.count == 2


def test_another_boot_of_this_machine_asks_again(tmp_path: Path, device: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    probes = Probes(True)
    monkeypatch.setattr(accelerator, "probe", probes)
    find_accelerator(settings_for(tmp_path), make_kernel(), Silent())
    monkeypatch.setattr(accelerator, "_boot_id", lambda: "later")
    find_accelerator(settings_for(tmp_path), make_kernel(), Silent())
    assert probes.count == 2


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "null", '{"key": 1}', '{"accelerator": "kvm"}'])
def test_a_damaged_memory_is_asked_again(
    tmp_path: Path, device: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    probes = Probes(False)
    monkeypatch.setattr(accelerator, "probe", probes)
    (tmp_path / "accelerator.json").write_text(text)
    assert find_accelerator(settings_for(tmp_path), make_kernel(), Silent()) == "tcg"
    assert probes.count == 1 and json.loads((tmp_path / "accelerator.json").read_text())["accelerator"] == "tcg"


def test_without_the_device_or_when_told_nothing_is_booted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    probes = Probes(True)
    monkeypatch.setattr(accelerator, "probe", probes)
    monkeypatch.setattr(accelerator, "KVM_DEVICE", tmp_path / "none")
    assert find_accelerator(settings_for(tmp_path), make_kernel(), Silent()) == "tcg"
    assert find_accelerator(settings_for(tmp_path, "kvm"), make_kernel(), Silent()) == "kvm"
    assert probes.count == 0
