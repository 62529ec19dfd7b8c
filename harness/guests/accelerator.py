"""Which accelerator really works: found by booting a kernel with a deadline, never by the presence of /dev/kvm.

There are machines on which /dev/kvm opens, KVM_CREATE_VM and KVM_CREATE_VCPU succeed, and a stock kernel still never
gets past the boot loader.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.guests.owed import QEMU, qemu_owed
from harness.kernels.kernels import Kernel
from harness.model.errors import HostEnvironmentError
from harness.model.observe import Progress
from harness.model.settings import Settings
from harness.state.obligations import owe
from harness.state.processes import meet_if_ended
from harness.state.state import StateDir

KVM_DEVICE = Path("/dev/kvm")
# A kernel prints its first line within a second under KVM; one that has printed nothing after this time never will.
PROBE_S = 15.0
FIRST_LINE = b"Linux version "


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """Whether a kernel booted with `accelerator`, how long it took in seconds, and why it did not."""

    accelerator: str
    works: bool
    seconds: float
    detail: str


def find_accelerator(settings: Settings, kernel: Kernel, progress: Progress) -> str:
    """ "kvm" or "tcg": the one configured, or the one that works; remembered until this machine reboots."""
    if settings.accelerator != "auto":
        return settings.accelerator
    if not os.access(KVM_DEVICE, os.R_OK | os.W_OK):
        return "tcg"
    memory = settings.state / "accelerator.json"
    key = f"{_boot_id()} {kernel.digest}"
    if (known := _recall(memory, key)) is not None:
        return known
    progress.step("booting a kernel to find out whether KVM works")
    answer = "kvm" if probe("kvm", kernel, settings.state).works else "tcg"
    _remember(memory, key, answer)
    return answer


def known_accelerator(settings: Settings) -> str:
    """The accelerator as far as it is known without booting anything; "tcg" if it was not probed yet."""
    if settings.accelerator != "auto":
        return settings.accelerator
    record = _read(settings.state / "accelerator.json")
    return str(record["accelerator"]) if str(record.get("key", "")).startswith(_boot_id()) else "tcg"


def probe(accelerator: str, kernel: Kernel, state: Path) -> ProbeResult:
    """Boot `kernel` until its first console line, with a deadline; leaves nothing running.

    Raises HostEnvironmentError if QEMU is not installed.
    """
    started = time.monotonic()
    with StateDir(state).open_run() as run:
        log = run.path / "console"
        owed = qemu_owed(run.path, log.name)
        owe(owed)
        try:
            process = _start(accelerator, kernel, log)
            try:
                works = _wait(process, log, PROBE_S if accelerator == "kvm" else 4 * PROBE_S)
            finally:
                process.kill()
                errors = process.communicate()[1].decode(errors="replace").strip()
        finally:
            meet_if_ended(owed)
    seconds = time.monotonic() - started
    if works:
        return ProbeResult(accelerator, True, seconds, f"a kernel printed its first line after {seconds:.1f} s")
    why = errors.splitlines()[-1] if errors else f"a kernel printed nothing for {seconds:.0f} s"
    return ProbeResult(accelerator, False, seconds, why)


def _start(accelerator: str, kernel: Kernel, log: Path) -> subprocess.Popen[bytes]:
    command = [QEMU, "-accel", accelerator, "-m", "128", "-nodefaults", "-display", "none", "-no-reboot"]
    command += ["-serial", f"file:{log}", "-kernel", str(kernel.vmlinuz)]
    command += ["-append", "console=ttyS0 earlyprintk=serial,ttyS0 panic=-1"]
    try:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    except FileNotFoundError as error:
        raise HostEnvironmentError(f"{QEMU} is not installed", remedy="apt-get install qemu-system-x86") from error


def _wait(process: subprocess.Popen[bytes], log: Path, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if log.exists() and FIRST_LINE in log.read_bytes():
            return True
        if process.poll() is not None:
            return False
        time.sleep(0.05)
    return False


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _recall(memory: Path, key: str) -> str | None:
    record = _read(memory)
    return str(record["accelerator"]) if record.get("key") == key else None


def _read(memory: Path) -> dict[str, Any]:
    """The remembered answers; none if the file is malformed."""
    try:
        record = json.loads(memory.read_text())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) and record.get("accelerator") in ("kvm", "tcg") else {}


def _remember(memory: Path, key: str, answer: str) -> None:
    draft = memory.with_name(f"{memory.name}.{os.getpid()}")
    draft.write_text(json.dumps({"key": key, "accelerator": answer}))
    draft.replace(memory)
