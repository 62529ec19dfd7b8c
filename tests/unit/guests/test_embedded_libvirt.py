"""The connection to libvirt's embedded driver: one a process, however many trials it runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from harness.guests import embedded_libvirt
from harness.model.settings import EMBEDDED
from harness.state.state import StateDir


class Connection:
    """Notes whether it was closed."""

    def __init__(self) -> None:
        self.closed = False

    def close(self) -> None:
        self.closed = True

    def getDomainCapabilities(self, *arguments: object) -> str:  # noqa: N802
        return "<domainCapabilities/>"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Connection]:
    made: list[Connection] = []

    def connect(uri: str, root: Path) -> Connection:
        (root / "cache").mkdir(parents=True, exist_ok=True)
        made.append(Connection())
        return made[-1]

    monkeypatch.setattr(embedded_libvirt, "connect", connect)
    monkeypatch.setattr(embedded_libvirt, "_kept", None)
    monkeypatch.setattr(embedded_libvirt, "_home", None)
    return made


@pytest.fixture
def state() -> Iterator[StateDir]:
    with TemporaryDirectory(prefix="h-") as folder:  # short enough for sockets
        yield StateDir(Path(folder))


def test_the_embedded_driver_is_opened_once_and_stays_open(opened: list[Connection], state: StateDir) -> None:
    for _ in range(20):
        with embedded_libvirt.connected_to(EMBEDDED, state) as connection:
            assert connection is opened[0]
    assert len(opened) == 1 and not opened[0].closed


def test_a_daemon_is_asked_anew_each_time(opened: list[Connection], state: StateDir) -> None:
    for _ in range(3):
        with embedded_libvirt.connected_to("qemu:///system", state):
            pass
    assert len(opened) == 3 and all(connection.closed for connection in opened)
