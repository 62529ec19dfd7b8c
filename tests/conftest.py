"""What all tests share."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# pytest takes this in a conftest.py that it loads at its start only, which that of a subfolder is not.
pytest_plugins = ["pytester"]

# How long an example takes says nothing on a busy machine.
settings.register_profile("harness", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("harness")
