"""What a run puts on a host: the agent and its modules on a ramfs, and a few settings; nothing on its owner's disks."""

from __future__ import annotations

import json
import lzma
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.drivers.protocols import Shell
from harness.model.clock import Deadline
from harness.model.errors import UsageError
from harness.site.addressing import SEED, own_module_path

AGENT = Path(__file__).parent.parent / "agent" / "agent.py"
CONFIG = f"{SEED}/agent.json"
RUN = f"python3 -I -S {SEED}/agent.py {CONFIG}"
START = f"cd / && setsid {RUN} </dev/null >{SEED}/agent.log 2>&1 & :"
NEED_KIB = 64 * 1024  # of available memory, for the agent and what cases add

# Not twice: a second mount would hide the first, and with it the agent that runs from there.
MOUNT = f"grep -q ' {SEED} ramfs ' /proc/mounts || {{ mkdir -p {SEED} && mount -t ramfs -o mode=0755 harness {SEED}; }}"
# The agent first: its working files are in the ramfs.
UNMOUNT = f"""\
read -r p <{SEED}/agent.pid 2>/dev/null && kill "$p" 2>/dev/null
i=0; while grep -q ' {SEED} ramfs ' /proc/mounts && [ $i -lt 20 ]; do
umount {SEED} 2>/dev/null || sleep 0.25; i=$((i + 1)); done; rmdir {SEED} 2>/dev/null
! grep -q ' {SEED} ramfs ' /proc/mounts"""
AVAILABLE = "sed -n 's/^MemAvailable: *\\([0-9]*\\).*/\\1/p' /proc/meminfo"
# What the kernel prints goes to the console only below this level, and sysrq only does what its mask allows.
SETTINGS = {"/proc/sys/kernel/printk": "8", "/proc/sys/kernel/sysrq": "1"}
SET = 'v=$(cat %s) && echo %s >%s && echo "$v"'


@dataclass(slots=True)
class Deployment:
    """What was put on one host, and how to take it away."""

    host: str
    shell: Shell
    changed: dict[str, str] = field(default_factory=dict)

    def put(self, config: Mapping[str, Any], own_modules: Mapping[str, Path], deadline: Deadline) -> None:
        """Put agent and modules on the host, and change its settings; raises UsageError if it has no room for them."""
        available = self.shell.run(AVAILABLE, deadline=deadline).stdout.strip()
        if available.isdigit() and int(available) < NEED_KIB:
            problem = f"host {self.host}: {int(available) // 1024} MiB of memory are available, the agent needs"
            raise UsageError(f"{problem} {NEED_KIB // 1024}; stop what uses it")
        self.shell.run(MOUNT, deadline=deadline)
        self.shell.put(AGENT, f"{SEED}/agent.py", deadline=deadline)
        self.shell.put(json.dumps(config).encode(), CONFIG, deadline=deadline, mode=0o600)
        for name, file in own_modules.items():
            self.shell.run("mkdir -p %s", f"{SEED}/modules", deadline=deadline)
            self.shell.put(_module(file), own_module_path(name), deadline=deadline)
        for path, value in SETTINGS.items():
            before = self.shell.run(SET, path, value, path, deadline=deadline).stdout.strip()
            self.changed.setdefault(path, before)

    def remove(self, deadline: Deadline) -> None:
        """Take it all away; raises ShellError if something is in use."""
        for path, value in self.changed.items():
            self.shell.run("echo %s >%s", value, path, deadline=deadline)
        self.changed.clear()
        self.shell.run(UNMOUNT, deadline=deadline)


def _module(file: Path) -> bytes:
    data = file.read_bytes()
    return lzma.decompress(data) if file.suffix == ".xz" else data
