"""A single command on guests that are booted only for it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from harness.sandbox.guests import Note, SandboxRequest, guests
from harness.sandbox.secure_shell import address_of, command_line, write_config
from harness.site.provider import Deaf

SIGNALLED = 128  # a shell adds this to the number of the signal that ended a command


def run_once(request: SandboxRequest, command: str, note: Note) -> int:
    """Boot the guests, run a shell command on the first one with this process's input and output, and end them.

    Returns the command's exit code; 255 may also mean that the connection broke. On a terminal, the command gets one
    too. Raises as `guests` does.
    """
    with tempfile.TemporaryDirectory(prefix="harness-") as name:
        folder = Path(name)
        with guests(request, listener=Deaf(), console_path=lambda host: folder / f"{host}.console", note=note) as site:
            config, first = folder / "ssh_config", request.topology.hosts[0].name
            addresses = [address_of(target) for target in site.targets.values()]
            write_config(request.topology.name, addresses, config, folder / "known_hosts")
            # -t: all keys, even Ctrl-C, go to the command.
            terminal = ["-t"] if sys.stdin.isatty() and sys.stdout.isatty() else []
            status = subprocess.call(command_line(config, first, [*terminal, "--", command]))
    return status if status >= 0 else SIGNALLED - status
