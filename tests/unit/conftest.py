"""What all unit tests share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def own_queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the queue of the machine, where others wait, and where a command under test would clear up after the dead."""
    monkeypatch.setenv("HARNESS_LEASES", str(tmp_path / "leases"))
