"""A terminal on the serial console of a host, until the escape key."""

from __future__ import annotations

import os
import select
import socket
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.model.errors import UsageError

ESCAPE = b"\x1d"  # Ctrl-], as of telnet and virsh
ESCAPE_NAME = "Ctrl-]"
READ_SIZE = 65536


def attach(path: Path, keyboard: int, screen: int, joined: Callable[[], None]) -> bool:
    """Connect a terminal (by its descriptors) to the console at the socket `path`; calls `joined` once connected.

    Returns True if the user left, False if the console closed. Raises UsageError without a terminal, or if nothing
    listens on the socket.
    """
    if not os.isatty(keyboard):
        raise UsageError("console: the input is no terminal; use `harness logs HOST -f` or `harness ssh HOST`")
    with _connected(path) as port:
        joined()
        return _relay(port, keyboard, screen)


def _relay(port: socket.socket, keyboard: int, screen: int) -> bool:
    with _raw(keyboard):
        while True:
            ready, _, _ = select.select([keyboard, port.fileno()], [], [])
            if port.fileno() in ready and not _show(port, screen):
                return False
            if keyboard in ready and not _type(keyboard, port):
                return True


def _show(port: socket.socket, screen: int) -> bool:
    try:
        data = port.recv(READ_SIZE)
    except OSError:
        return False
    view = memoryview(data)
    while view:
        view = view[os.write(screen, view) :]
    return bool(data)


def _type(keyboard: int, port: socket.socket) -> bool:
    typed, escape, _ = os.read(keyboard, READ_SIZE).partition(ESCAPE)
    try:
        port.sendall(typed)
    except OSError:
        return True  # the next read shows that it is closed
    return not escape and bool(typed)  # no input: the terminal was closed


@contextmanager
def _connected(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as port:
        try:
            port.connect(str(path))
        except OSError as error:
            raise UsageError(f"console: nobody listens on {path} ({error.strerror})") from error
        yield port


@contextmanager
def _raw(keyboard: int) -> Iterator[None]:
    """Send every key to the guest, even Ctrl-C; the terminal's settings are restored afterwards."""
    before = termios.tcgetattr(keyboard)
    try:
        tty.setraw(keyboard)
        yield
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
