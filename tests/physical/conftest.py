"""Without an inventory there are no hosts to run these tests on: `make live-physical` starts the test bed first."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.testbed.places import folder
from tests.testbed.rack import inventory

# ipmitool and console of the test bed, for a machine that has none.
os.environ["PATH"] = f"{folder() / 'bin'}{os.pathsep}{os.environ['PATH']}"
collect_ignore_glob = [] if inventory().exists() else ["test_*.py"]


@pytest.fixture
def state() -> Iterator[Path]:
    """A state folder of its own, with a path short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="hp-", dir="/tmp") as folder:
        yield Path(folder) / "s"
