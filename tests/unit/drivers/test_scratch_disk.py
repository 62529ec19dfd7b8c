"""Scratch disks and throttling: what libvirt is given and told."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest
from fakes import guest_spec

from harness.drivers.libvirt import guest
from harness.drivers.libvirt.disk_image import make_blank
from harness.drivers.libvirt.guest import LibvirtGuest, domain_xml
from harness.model.errors import InfraError, UsageError
from harness.model.topology import GIB

SPEC = guest_spec(scratch=Path("/d/a.scratch"))


class _Refused(Exception):
    """As libvirt's own error."""


class _Domain:
    def __init__(self, *, refuse: bool) -> None:
        self.refuse = refuse
        self.reported: list[tuple[str, dict[str, int], int]] = []

    def setBlockIoTune(self, disk: str, limits: dict[str, int], flags: int) -> None:  # noqa: N802
        if self.refuse:
            raise _Refused("invalid argument: refused")
        self.reported.append((disk, limits, flags))


def a_guest(monkeypatch: pytest.MonkeyPatch, *, refuse: bool = False) -> tuple[LibvirtGuest, _Domain]:
    names: dict[str, Any] = {"VIR_DOMAIN_BLOCK_IOTUNE_TOTAL_BYTES_SEC": "total_bytes_sec", "VIR_DOMAIN_AFFECT_LIVE": 1}
    fake = SimpleNamespace(libvirtError=_Refused, **names)
    monkeypatch.setattr(guest, "libvirt_module", lambda: fake)
    domain = _Domain(refuse=refuse)
    return LibvirtGuest(SimpleNamespace(createXML=lambda xml, flags: domain), SPEC, lambda data: None), domain


def test_a_third_disk_is_one_to_write_to_and_as_quick_as_the_others() -> None:
    disks = ElementTree.fromstring(domain_xml(SPEC)).findall("devices/disk")
    targets = [element.get("dev") for disk in disks if (element := disk.find("target")) is not None]
    drivers = [(element.get("type"), element.get("cache")) for disk in disks for element in disk.findall("driver")]
    assert targets == ["vda", "vdb", "vdc"]
    assert drivers[2] == ("raw", "unsafe") and disks[2].find("readonly") is None


def test_a_limit_and_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    driver, domain = a_guest(monkeypatch)
    driver.throttle("scratch", 2048)
    driver.throttle("scratch", None)
    assert domain.reported == [("vdc", {"total_bytes_sec": 2048}, 1), ("vdc", {"total_bytes_sec": 0}, 1)]


def test_a_disk_that_the_guest_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    driver, _ = a_guest(monkeypatch)
    with pytest.raises(UsageError, match="harness-r1-c1 has no disk 'spare'; its disks are: root, scratch"):
        driver.throttle("spare", 1)


def test_a_limit_that_libvirt_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    driver, _ = a_guest(monkeypatch, refuse=True)
    with pytest.raises(InfraError, match="harness-r1-c1: invalid argument: refused"):
        driver.throttle("scratch", 1)


def test_a_blank_disk_is_all_holes(tmp_path: Path) -> None:
    disk = tmp_path / "a.scratch"
    make_blank(disk, size=GIB)
    assert disk.stat().st_size == GIB and disk.stat().st_blocks * 512 < 64 * 1024


def test_a_blank_disk_never_replaces_another(tmp_path: Path) -> None:
    disk = tmp_path / "a.scratch"
    disk.write_bytes(b"somebody's")
    with pytest.raises(InfraError, match=r"cannot make .*/a\.scratch: File exists"):
        make_blank(disk, size=GIB)
    assert disk.read_bytes() == b"somebody's"
