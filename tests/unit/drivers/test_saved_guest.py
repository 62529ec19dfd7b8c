"""A guest that is saved, and one that goes on from there: what libvirt is asked, and that neither lasts for ever."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from fakes import guest_spec

from harness.drivers.libvirt import guest
from harness.drivers.libvirt.guest import LibvirtGuest, killed_when_overdue
from harness.model.clock import Deadline
from harness.model.errors import BootError, InfraError

SPEC = guest_spec("g")


class _Refused(Exception):
    """As libvirt's own error."""


class Connection:
    """libvirt, as far as saved guests go."""

    def __init__(self, refuse: str = "") -> None:
        self.refuse = refuse
        self.asked: list[tuple[str, str]] = []

    def _note(self, verb: str, what: str) -> None:
        self.asked.append((verb, what))
        if verb == self.refuse:
            raise _Refused("end of file from qemu monitor")

    def restore(self, path: str) -> None:
        self._note("restore", path)

    def lookupByUUIDString(self, uuid: str) -> Any:  # noqa: N802
        self._note("look up", uuid)
        return SimpleNamespace(save=lambda path: self._note("save", path))


@pytest.fixture(autouse=True)
def libvirt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest, "libvirt_module", lambda: SimpleNamespace(libvirtError=_Refused))


def test_a_guest_goes_on_and_is_saved_again() -> None:
    connection = Connection()
    guest = LibvirtGuest(connection, SPEC, lambda data: None, saved=Path("/run/a.save"))
    guest.save(Path("/cache/image"), Deadline.after(60))
    uuid = "00000000-0000-0000-0000-000000000007"
    assert connection.asked == [("restore", "/run/a.save"), ("look up", uuid), ("save", "/cache/image")]


def test_an_image_that_libvirt_does_not_take() -> None:
    with pytest.raises(BootError, match="libvirt cannot restore it: end of file"):
        LibvirtGuest(Connection("restore"), SPEC, lambda data: None, saved=Path("/run/a.save"))


def test_a_guest_that_cannot_be_saved() -> None:
    guest = LibvirtGuest(Connection("save"), SPEC, lambda data: None, saved=Path("/run/a.save"))
    with pytest.raises(InfraError, match="g: end of file"):
        guest.save(Path("/cache/image"), Deadline.after(60))


def test_a_guest_is_killed_when_libvirt_waits_for_it_too_long() -> None:
    uuid = uuid4()
    command = [sys.executable, "-c", "import time; print(flush=True); time.sleep(600)", "-uuid", str(uuid)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None and process.stdout.readline()
            with killed_when_overdue(uuid, Deadline.after(600)):
                pass
            assert process.poll() is None
            with killed_when_overdue(uuid, Deadline.after(0)):
                assert process.wait(timeout=60) == -9
        finally:
            process.kill()
