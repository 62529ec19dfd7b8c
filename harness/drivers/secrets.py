"""Secrets of the inventory, read where the owner keeps them, when they are needed; never stored, shown or passed on."""

from __future__ import annotations

import os
from pathlib import Path

from harness.drivers.commands import run_command
from harness.model.clock import Deadline
from harness.model.errors import InfraError, UsageError
from harness.model.owned_host import PowerSpec, Secret

LIMIT = 4096


def password_of(spec: PowerSpec, host: str, deadline: Deadline) -> str:
    """The password of a host's power source, "" if it has none; raises UsageError that names the host."""
    if spec.password is None:
        return ""
    try:
        return read_secret(spec.password, deadline=deadline)
    except UsageError as error:
        raise UsageError(f"host {host}: {error}") from None


def read_secret(secret: Secret, *, deadline: Deadline) -> str:
    """The value; raises UsageError that names the reference."""
    value = {"env": _of_environment, "file": _of_file, "command": _of_command}[secret.kind](secret.name, deadline)
    if not value:
        raise UsageError(f"the password of {secret} is empty; it must be on the first line")
    if "\0" in value:
        raise UsageError(f"the password of {secret} is no text")
    return value


def _of_environment(name: str, deadline: Deadline) -> str:
    if name not in os.environ:
        raise UsageError(f"the password is in the environment variable {name}, which is not set; export it")
    return _first_line(os.environ[name])


def _of_file(name: str, deadline: Deadline) -> str:
    try:
        with Path(name).expanduser().open("rb") as file:
            return _first_line(file.readline(LIMIT).decode())
    except UnicodeDecodeError:
        problem = "it is no text"  # the error itself has the bytes
    except (OSError, RuntimeError) as error:
        problem = getattr(error, "strerror", None) or str(error)
    raise UsageError(f"the password is in the file {name}, which cannot be read: {problem}")


def _of_command(name: str, deadline: Deadline) -> str:
    try:
        done = run_command(name, deadline=deadline)
    except InfraError:
        raise UsageError(f"the command for the password does not end: {name}") from None
    if done.exit_code:
        # Its output is left out: it may have part of the secret.
        raise UsageError(f"the command for the password ends with exit code {done.exit_code}: {name}")
    return _first_line(done.out)


def _first_line(text: str) -> str:
    return text.split("\n")[0].removesuffix("\r")
