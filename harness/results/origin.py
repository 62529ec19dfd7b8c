"""Where results come from: the beginning of every run's manifest."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from typing import Any

import harness


def origin() -> dict[str, Any]:
    """This version, now, and this machine, as plain JSON values."""
    host = os.uname()
    return {
        "harness": harness.__version__,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": {
            "name": host.nodename,
            "kernel": host.release,
            "machine": host.machine,
            "python": platform.python_version(),
        },
    }
