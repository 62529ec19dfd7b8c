"""Secrets of the inventory, read where the owner keeps them, when they are needed; never stored, shown or passed on."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from harness.model.clock import Deadline
from harness.model.errors import UsageError
from harness.model.owned_host import Secret


def read_secret(secret: Secret, *, deadline: Deadline) -> str:
    """The value; raises UsageError that names the reference."""
    value = {"env": _of_environment, "file": _of_file, "command": _of_command}[secret.kind](secret.name, deadline)
    if not value:
        raise UsageError(f"the password of {secret} is empty; put it on its first line")
    return value


def _of_environment(name: str, deadline: Deadline) -> str:
    if name not in os.environ:
        raise UsageError(f"the password is in the environment variable {name}, which is not set; export it")
    return os.environ[name]


def _of_file(name: str, deadline: Deadline) -> str:
    try:
        lines = Path(name).expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UsageError(f"the password is in the file {name}, which cannot be read: {reason}") from error
    return lines[0] if lines else ""


def _of_command(name: str, deadline: Deadline) -> str:
    try:
        done = subprocess.run(
            name,
            shell=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=max(0.1, deadline.remaining),
        )
    except subprocess.TimeoutExpired as error:
        raise UsageError(f"the command for the password does not end: {name}") from error
    if done.returncode:
        # Its output is left out: it may have part of the secret.
        raise UsageError(f"the command for the password ends with exit code {done.returncode}: {name}")
    lines = done.stdout.splitlines()
    return lines[0] if lines else ""
