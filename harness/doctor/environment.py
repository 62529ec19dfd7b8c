"""Queries and tries of this machine for `harness doctor`, in one place that tests can replace."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness.model.observe import Progress
from harness.model.settings import Settings

if TYPE_CHECKING:
    # Imported where they are used: the doctor must also work on a machine that lacks their libraries.
    from harness.artifacts.mirror import Sources
    from harness.guests.accelerator import ProbeResult
    from harness.kernels.kernels import Kernel

SUITE = "bookworm"
KERNEL = "debian:12"
KVM_DEVICE = Path("/dev/kvm")
ANSWER_S = 15


class Environment:
    """This machine; tests use a fake."""

    python: tuple[int, int] = sys.version_info[:2]

    @property
    def is_root(self) -> bool:
        """Whether this process has all privileges."""
        return os.geteuid() == 0

    def which(self, program: str) -> str | None:
        """The path of `program`, where the harness would find it."""
        from harness.artifacts.run_tool import SEARCH_PATH

        return shutil.which(program, path=SEARCH_PATH)

    def has_module(self, name: str) -> bool:
        """Whether Python finds the module `name`."""
        return importlib.util.find_spec(name) is not None

    def output(self, *argv: str) -> tuple[int, str]:
        """Exit status and all output of a command that ends at once."""
        try:
            done = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=ANSWER_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return 127, f"{argv[0]} does not answer within {ANSWER_S} s"
        except OSError as error:
            return 127, str(error)
        return done.returncode, done.stdout

    def has_user(self, name: str) -> bool:
        """Whether the system has a user of that name."""
        try:
            pwd.getpwnam(name)
        except KeyError:
            return False
        return True

    def open_libvirt(self, uri: str, state: Path) -> str:
        """Open the hypervisor and return its version; raises HarnessError."""
        from harness.drivers.libvirt.connection import connect
        from harness.state.state import StateDir

        with StateDir(state).open_run() as run:
            connection = connect(uri, run.path / "e")
            try:
                version = connection.getLibVersion()
            finally:
                connection.close()
        return f"{version // 1000000}.{version // 1000 % 1000}.{version % 1000}"

    def find_sources(self, mirror: str | None) -> Sources:
        """Where packages come from; raises HarnessError."""
        from harness.artifacts.mirror import find_sources

        return find_sources(mirror, SUITE)

    def check_state(self, state: Path) -> None:
        """Raise HarnessError if sockets do not fit below the state folder."""
        from harness.state.state import StateDir

        StateDir(state).check()

    def free_space(self, folder: Path) -> tuple[int, int]:
        """A number for the file system that `folder` is or would be on, and bytes free there."""
        there = _nearest(folder)
        return there.stat().st_dev, shutil.disk_usage(there).free

    def is_writable(self, folder: Path) -> bool:
        """Whether `folder` can be written to, or made."""
        return os.access(_nearest(folder), os.W_OK | os.X_OK)

    def has_images(self, cache: Path) -> bool:
        """Whether a guest image has been built."""
        return any(cache.glob("image/*/manifest.json"))

    def available_memory(self) -> int:
        """Bytes of memory that are available to programs."""
        import psutil

        return int(psutil.virtual_memory().available)

    def kvm_problem(self) -> str:
        """Why /dev/kvm cannot be opened; "" if it can."""
        if not KVM_DEVICE.exists():
            return f"there is no {KVM_DEVICE}"
        return "" if os.access(KVM_DEVICE, os.R_OK | os.W_OK) else f"{KVM_DEVICE} is not open to this user"

    def fetch_kernel(self, settings: Settings, progress: Progress) -> Kernel:
        """A kernel to boot, downloaded if need be; raises HarnessError."""
        from harness.kernels.kernels import fetch_kernel

        return fetch_kernel(settings, KERNEL, progress)

    def probe(self, accelerator: str, kernel: Kernel, state: Path) -> ProbeResult:
        """Boot `kernel`; raises HarnessError."""
        from harness.guests.accelerator import probe

        return probe(accelerator, kernel, state)


def _nearest(folder: Path) -> Path:
    """`folder`, or the closest folder above it that is there."""
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
