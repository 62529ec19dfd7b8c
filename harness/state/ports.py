"""Port numbers on 127.0.0.1, reserved so that two harness processes never pick the same one.

A reservation is a locked file `<state>/ports/<number>`; it covers TCP and UDP. The port is not bound
meanwhile: the holder of the reservation hands the number to QEMU.
"""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from harness.model.errors import HostEnvironmentError
from harness.state.locks import describe, explained, guard, read_record, this_process, try_lock, write_record
from harness.state.state import GUARD, StateDir

# Below Linux's ip_local_port_range (32768 on): no outgoing connection takes one of these in the meantime.
FREE_PORTS = range(20000, 32768)
_LOOPBACK = "127.0.0.1"


@contextmanager
def port_lease(state: StateDir) -> Iterator[int]:
    """Reserve a free port for the body; raises HostEnvironmentError if there is none."""
    candidates = random.sample(FREE_PORTS, len(FREE_PORTS))
    with _guarded(state) as folder:
        found = next(((n, fd) for n in candidates if (fd := _reserve(folder, n)) is not None), None)
    if found is None:
        problem = f"no port from {FREE_PORTS[0]} to {FREE_PORTS[-1]} is free on {_LOOPBACK}"
        raise HostEnvironmentError(problem, remedy="end other runs, or what listens there")
    yield from _held(folder, *found)


@contextmanager
def take_port(state: StateDir, port: int) -> Iterator[int]:
    """Reserve `port` for the body; raises HostEnvironmentError, which names the holder, if it is taken."""
    with _guarded(state) as folder:
        descriptor = _reserve(folder, port)
        taker = "" if descriptor is not None else _taker(folder, port)
    if descriptor is None:
        remedy = "give the host another ssh_port in the inventory, or none for a free one"
        raise HostEnvironmentError(f"port {port} is taken by {taker}", remedy=remedy)
    yield from _held(folder, port, descriptor)


@contextmanager
def _guarded(state: StateDir) -> Iterator[Path]:
    folder = state.folder("ports")
    with explained(folder), guard(folder / GUARD):
        yield folder


def _reserve(folder: Path, port: int) -> int | None:
    path = folder / str(port)
    if path.exists() and not os.access(path, os.W_OK):
        return None
    descriptor = try_lock(path, create=True)
    if descriptor is None:
        return None
    try:
        if is_free(port):
            write_record(descriptor, this_process())
            return descriptor
    except BaseException:
        _release(folder, port, descriptor)
        raise
    _release(folder, port, descriptor)
    return None


def _held(folder: Path, port: int, descriptor: int) -> Iterator[int]:
    try:
        yield port
    finally:
        _release(folder, port, descriptor)


def _release(folder: Path, port: int, descriptor: int) -> None:
    with suppress(OSError):
        (folder / str(port)).unlink(missing_ok=True)
    os.close(descriptor)


def is_free(port: int) -> bool:
    """Whether QEMU could listen on `port` of 127.0.0.1 now, for TCP and for UDP."""
    with socket.socket(type=socket.SOCK_STREAM) as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        # As QEMU does: a closed connection in TIME_WAIT does not block the port.
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tcp.bind((_LOOPBACK, port))
            tcp.listen(1)
            udp.bind((_LOOPBACK, port))
        except OSError:
            return False
    return True


def _taker(folder: Path, port: int) -> str:
    record = read_record(folder / str(port))
    if record:
        return f"another run: {describe(record)}"
    pid = _listener(port)
    if pid is None:
        return f"a process of this machine, or may not be used by this user; see: ss -tulpn 'sport = :{port}'"
    with suppress(psutil.Error):
        return describe({"pid": pid, "argv": psutil.Process(pid).cmdline()})
    return f"pid {pid}"


def _listener(port: int) -> int | None:
    with suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("inet"):
            local = connection.laddr
            listens = connection.status == psutil.CONN_LISTEN or connection.type == socket.SOCK_DGRAM
            if local and local.port == port and listens and connection.pid:
                return int(connection.pid)
    return None


def remove_dead(state: StateDir) -> list[str]:
    """Remove reservations of dead processes; one line for each."""
    if not (state.path / "ports").is_dir():
        return []
    with _guarded(state) as folder:
        reservations = sorted(path for path in folder.iterdir() if path.name.isdecimal())
        return [line for path in reservations if (line := _remove_if_dead(path))]


def _remove_if_dead(path: Path) -> str:
    descriptor = try_lock(path)
    if descriptor is None:
        return ""
    holder = describe(read_record(path))
    with suppress(OSError):
        path.unlink(missing_ok=True)
    os.close(descriptor)
    return f"port {path.name}: {holder} is dead"
