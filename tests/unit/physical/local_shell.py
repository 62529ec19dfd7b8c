"""A shell on this machine, for commands that are tried on files of a test in place of those of a host."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.drivers.protocols import Completed
from harness.drivers.ssh import quote
from harness.model.clock import Deadline
from harness.model.errors import ShellError


@dataclass
class LocalShell:
    """Runs commands with sh; `places` maps a path of a host to a file of the test."""

    places: Mapping[str, Path]
    commands: list[str] = field(default_factory=list)

    def run(self, command: str, *arguments: object, deadline: Deadline, check: bool = True) -> Completed:
        text = quote(command, arguments)
        self.commands.append(text)
        for path, place in self.places.items():
            text = text.replace(path, str(place))
        done = subprocess.run(["sh", "-c", text], capture_output=True, text=True, timeout=deadline.remaining)
        if check and done.returncode:
            raise ShellError(host="local", command=text, problem=f"exit code {done.returncode}", output=done.stderr)
        return Completed(command=text, exit_code=done.returncode, stdout=done.stdout, stderr=done.stderr)

    def put(self, source: Path | bytes, target: str, *, deadline: Deadline, mode: int = 0o644) -> None:
        raise NotImplementedError

    def close(self) -> None:
        pass
