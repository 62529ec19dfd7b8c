"""What a host boots from: all that a kernel of the run, and the way into it, are made of."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.drivers.protocols import Shell
from harness.model.clock import Deadline
from harness.model.errors import InfraError

SCRIPT = Path(__file__).parent.parent / "guest/boot_facts.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class RootFacts:
    """The root file system: its type, UUID and options, and the device that it is on.

    `source` is its device as it was mounted, `device` without symbolic links. `copies` is how many devices hold a file
    system of this UUID, `devices` how many this one spans. `modaliases` and `drivers` belong to the devices between the
    processor and the disk, in this order.
    """

    fstype: str
    source: str
    device: str
    options: str
    uuid: str
    copies: int
    devices: int
    modaliases: tuple[str, ...]
    drivers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BootFacts:
    """What a host says of itself while its owner's kernel runs.

    `loaded` are the modules of that kernel, `modules_dir` the real path of /lib/modules, `compressions` those that its
    modprobe reads (xz, zstd). `lockdown` is none, integrity, confidentiality or "". `memory_available` is in bytes.
    """

    machine: str
    release: str
    boot_id: str
    cmdline: str
    loaded: tuple[str, ...]
    modaliases: tuple[str, ...]
    root: RootFacts
    modules_dir: str
    separate_usr: bool
    compressions: tuple[str, ...]
    has_systemd: bool
    kexec: str
    kexec_disabled: bool
    kexec_known: bool
    lockdown: str
    selinux_enforcing: bool
    memory_available: int

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> BootFacts:
        """The facts of the JSON that the script prints; raises KeyError or TypeError if it is something else."""
        return cls(**{**_frozen(values), "root": RootFacts(**_frozen(values["root"]))})


def read_boot_facts(shell: Shell, *, deadline: Deadline) -> BootFacts:
    """Ask a host, as root; changes nothing there. Raises ShellError, or InfraError for an answer that is none."""
    command = "python3 -I -S -c %s"
    answer = shell.run(command, SCRIPT.read_text(encoding="utf-8"), deadline=deadline).stdout
    try:
        return BootFacts.from_dict(json.loads(answer))
    except (ValueError, KeyError, TypeError) as error:
        raise InfraError(f"the host's answer about its boot is not understood: {error}") from error


def _frozen(values: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
