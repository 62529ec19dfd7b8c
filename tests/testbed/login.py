"""The way into a double that its owner has."""

from __future__ import annotations

import subprocess

from tests.testbed.image import key
from tests.testbed.places import SSH_PORT, USER, Double

ANSWER_S = 30.0


def login(double: Double, command: str) -> subprocess.CompletedProcess[str]:
    """Run a shell command on a double; raises TimeoutExpired. Its host key is not checked: a fault changes it."""
    options = ("BatchMode=yes", "ConnectTimeout=10", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null")
    words = ["ssh", "-F", "none", "-p", str(SSH_PORT), "-i", str(key()), "-o", "LogLevel=ERROR"]
    for option in options:
        words += ["-o", option]
    return subprocess.run(
        [*words, f"{USER}@{double.address}", command],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=ANSWER_S,
    )


def answers(double: Double) -> bool:
    """Whether its SSH server lets its owner in."""
    try:
        return login(double, "true").returncode == 0
    except subprocess.TimeoutExpired:
        return False
