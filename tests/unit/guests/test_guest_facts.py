"""What is known of a guest: the disk that it shares, and what it offers."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from fakes import FakeShell

from harness.drivers.libvirt.guest import OFFERS
from harness.guests.guest import find_disk, offers
from harness.model.clock import Deadline
from harness.model.errors import BootError
from harness.model.topology import MIB, SHARED_SERIAL, Host


def test_a_shared_disk_is_known_by_its_serial_number(tmp_path: Path) -> None:
    for name, serial in (("vda", ""), ("vdb", "another"), ("vdc", SHARED_SERIAL)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "serial").write_text(f"{serial}\n")
    shell = FakeShell()
    shell.answer("/sys/block", "vdc\n")
    assert find_disk(shell, "n1", SHARED_SERIAL, Deadline.after(1.0)) == "/dev/vdc"
    command = shell.commands[0].replace("/sys/block", str(tmp_path))
    assert subprocess.run(["sh", "-c", command], capture_output=True, check=True).stdout == b"vdc\n"


def test_a_shared_disk_that_is_not_there_is_told() -> None:
    with pytest.raises(BootError, match=f"n2: it has no disk with the serial number {SHARED_SERIAL}"):
        find_disk(FakeShell(), "n2", SHARED_SERIAL, Deadline.after(1.0))


def test_what_a_guest_offers_is_known_before_it_is_up() -> None:
    assert offers(Host(name="x", memory=MIB)) == OFFERS
