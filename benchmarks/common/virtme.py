"""virtme-ng, for comparison: in a virtual environment of its own below the cache folder."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common.children import Finished, run_child
from harness.guests.boot_spec import Machine
from harness.model.errors import InfraError
from harness.model.observe import Progress
from harness.model.topology import MIB, Host
from harness.state.locks import try_lock

VERSION = "1.42"
INSTALL_S = 300.0
RUN_S = 300.0
# What virtme-ng returns when the guest could not report the command's exit code: the ports for that are named by
# udev, so a machine without it (a container) has none, and the command runs on the console.
NO_REPORT = 255
DONE = "script exited with code 0"


class NotUsable(InfraError):
    """virtme-ng cannot be run here; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtmeNg:
    """An installed virtme-ng that was seen to run `true`; `exit_code` is what it returns for that here."""

    bin: Path
    arguments: tuple[str, ...]
    exit_code: int

    def run_true(self, cwd: Path) -> float:
        """Seconds of one `true`, from the start of the process to its end."""
        finished = _run(self.bin, self.arguments, cwd)
        if finished.exit_code != self.exit_code:
            raise NotUsable(f"vng ended with exit code {finished.exit_code}: {_last_line(finished)}")
        return finished.seconds


def arguments_for(machine: Machine, host: Host) -> tuple[str, ...]:
    """Options that give virtme-ng the kernel, accelerator, processors and memory of one of our guests."""
    size = ("--cpus", str(host.cpus), "--memory", f"{host.memory // MIB}M")
    no_kvm = ("--disable-kvm",) if machine.accelerator == "tcg" else ()
    return (*no_kvm, *size, "--run", str(machine.kernel.vmlinuz))


def prepare(cache: Path, machine: Machine, host: Host, cwd: Path, progress: Progress) -> VirtmeNg:
    """Install virtme-ng if need be, and see it run `true` once, untimed; raises NotUsable."""
    bin_folder = install(cache, progress)
    progress.step(f"virtme-ng {VERSION}: trying it")
    arguments = arguments_for(machine, host)
    finished = _run(bin_folder, ("--verbose", *arguments), cwd)
    if finished.exit_code != 0 and not (finished.exit_code == NO_REPORT and DONE in finished.output):
        raise NotUsable(f"vng ended with exit code {finished.exit_code}: {_last_line(finished)}")
    return VirtmeNg(bin=bin_folder, arguments=arguments, exit_code=finished.exit_code)


def install(cache: Path, progress: Progress) -> Path:
    """The folder of its commands; raises NotUsable if it cannot be installed."""
    folder = cache / "virtme-ng" / VERSION
    whole = folder / "complete"
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = try_lock(folder.parent / ".lock", create=True)
    if lock is None:
        raise NotUsable("another process installs virtme-ng right now")
    try:
        if not whole.exists():
            progress.step(f"installing virtme-ng {VERSION}")
            shutil.rmtree(folder, ignore_errors=True)
            _install_into(folder)
            whole.touch()
    finally:
        os.close(lock)
    return folder / "bin"


def _install_into(folder: Path) -> None:
    python = str(folder / "bin" / "python")
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [python, "-m", "pip", "install", "--quiet", f"virtme-ng=={VERSION}"],
    ):
        finished = run_child(command, limit_s=INSTALL_S, cwd=folder.parent)
        if finished.exit_code != 0:
            raise NotUsable(f"virtme-ng {VERSION} cannot be installed: {_last_line(finished)}")


def _run(bin_folder: Path, arguments: Sequence[str], cwd: Path) -> Finished:
    # vng looks for its other half, virtme-run, in PATH; what it makes for a guest goes below TMPDIR.
    environment = {"PATH": f"{bin_folder}:{os.environ.get('PATH', os.defpath)}", "TMPDIR": str(cwd)}
    command = [str(bin_folder / "vng"), *arguments, "--", "true"]
    return run_child(command, limit_s=RUN_S, cwd=cwd, environment=environment)


def _last_line(finished: Finished) -> str:
    lines = [line.strip() for line in finished.tail.splitlines() if line.strip()]
    return lines[-1] if lines else "it printed nothing"
