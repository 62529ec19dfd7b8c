"""The root folder of libvirt's embedded driver: one per process.

The driver can be opened once in a process, at one root ("Cannot open embedded driver at path …, already open with path
…"), and stays initialised until the process ends. So its root is a run folder of its own, which outlives trials. The
connection outlives them too: each new one registers the driver again, and after a dozen there are "Too many drivers".
"""

from __future__ import annotations

import atexit
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from harness.drivers.libvirt.connection import connect
from harness.model.settings import EMBEDDED
from harness.state.state import RunDir, StateDir

_home: RunDir | None = None
_kept: Any = None
_lock = threading.Lock()


@contextmanager
def connected_to(uri: str, state: StateDir) -> Iterator[Any]:
    """An open libvirt connection; raises HostEnvironmentError, in one line, if it does not answer."""
    if uri == EMBEDDED:
        yield _embedded(state)
        return
    connection = connect(uri, state.path)
    try:
        yield connection
    finally:
        connection.close()


def _embedded(state: StateDir) -> Any:
    global _kept
    with _lock:
        if _kept is not None:
            return _kept
        root = _home_of(state).path / "e"
        # Asking QEMU for its capabilities takes seconds; libvirt itself checks whether the kept ones still hold.
        kept = state.folder("capabilities")
        if not root.exists():
            shutil.copytree(kept, root / "cache", dirs_exist_ok=True)
        connection = connect(EMBEDDED, root)
        if not any(kept.rglob("*.xml")):
            connection.getDomainCapabilities(None, "x86_64", None, None, 0)
            shutil.copytree(root / "cache", kept, dirs_exist_ok=True)
        _kept = connection
        atexit.register(_let_go)  # before the bindings themselves are torn down
        return connection


def _let_go() -> None:
    global _kept
    _kept = None


def _home_of(state: StateDir) -> RunDir:
    global _home
    if _home is None:
        _home = state.open_run()
        atexit.register(_home.close)
    return _home
