"""What all tests share."""

from __future__ import annotations

# pytest takes this in a conftest.py that it loads at its start only, which that of a subfolder is not.
pytest_plugins = ["pytester"]
