"""What all tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# pytest takes this in a conftest.py that it loads at its start only, which that of a subfolder is not.
pytest_plugins = ["pytester"]

# How long an example takes says nothing on a busy machine.
settings.register_profile("harness", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("harness")

LIVE = Path(__file__).with_name("live")


@pytest.fixture(autouse=True)
def own_queue(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the queue for the memory of the machine, where commands clear up after the dead; guests need that one."""
    if LIVE not in request.path.parents:
        monkeypatch.setenv("HARNESS_LEASES", str(tmp_path / "leases"))
