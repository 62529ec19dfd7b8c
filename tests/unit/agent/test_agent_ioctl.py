"""The agent's ioctl, and that a storage probe lets go of what it no longer samples."""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.agent import agent


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    kept: dict[str, int] = {}
    monkeypatch.setattr(agent, "KEPT", kept)
    yield
    for fd in kept.values():
        os.close(fd)


def ask(path: str, request: int, data: bytes) -> bytes:
    return bytes.fromhex(agent.act({"do": "ioctl", "path": path, "request": request, "data": data.hex()}))


def test_it_gives_back_what_the_kernel_made_of_the_data() -> None:
    controller, terminal = os.openpty()
    try:
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 132, 0, 0))
        answer = ask(os.ttyname(terminal), termios.TIOCGWINSZ, bytes(8))
        assert struct.unpack("HHHH", answer) == (50, 132, 0, 0)
        assert list(agent.KEPT) == [os.ttyname(terminal)], "opened once, while there is memory for it"
        assert ask(os.ttyname(terminal), termios.TIOCGWINSZ, bytes(8)) == answer
    finally:
        os.close(controller)
        os.close(terminal)


def test_what_the_kernel_refuses_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="Inappropriate ioctl"):
        ask(str(tmp_path / "file"), termios.TIOCGWINSZ, bytes(8))
    with pytest.raises(FileNotFoundError):
        ask(str(tmp_path / "none"), termios.TIOCGWINSZ, bytes(8))


@pytest.mark.parametrize("order", [{"path": None}, {"path": "other"}])
def test_a_probe_that_is_replaced_lets_go_of_its_file(tmp_path: Path, order: dict[str, str | None]) -> None:
    path = tmp_path / "probed"
    path.write_bytes(bytes(agent.PAGE))
    probe = agent.Direct.__new__(agent.Direct)  # O_DIRECT is not for every file system
    probe.fd = os.open(path, os.O_RDONLY)
    agent.take_order(probe, order, agent.Slot(mmap.mmap(-1, agent.SLOT_SIZE), 0))
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(probe.fd)
