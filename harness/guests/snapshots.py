"""Snapshots: guests that were booted once and saved, so that others like them start from there.

A snapshot is an entry of the cache, keyed by everything that its guest can observe: what it boots from, its size, its
devices, QEMU, the boot script, the agent. Its files are checked at every use. `BUDGET` bytes of snapshots are kept, and
the least recently used go first; a snapshot in use stays.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from shutil import which
from typing import Any

from harness.artifacts.cache import Build, Cache
from harness.artifacts.cache_eviction import hold, remove
from harness.artifacts.recipes import vm_images
from harness.drivers.libvirt.save_image import DamagedImage, checksum
from harness.guests.boot_spec import Machine
from harness.guests.guest_spec import cmdline_of
from harness.guests.owed import QEMU
from harness.guests.seed_archive import AGENT
from harness.model.settings import EMBEDDED, Settings
from harness.model.topology import GIB, MIB, Host

KIND = "snapshot"
# Incremented whenever the same input would give another guest.
BUILDER = 1
BUDGET = 4 * GIB
NEED = 64 * MIB  # beside the guest's memory
IMAGE, DISK, CONSOLE, FACTS = "guest.save", "disk.qcow2", "console", "snapshot.json"
DOMAIN = Path(__file__).parent.parent / "drivers" / "libvirt" / "domain.xml.j2"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A saved guest: its folder in the cache, and its recorded facts."""

    entry: Path
    facts: Mapping[str, Any]

    @property
    def image(self) -> Path:
        """The image that libvirt saved."""
        return self.entry / IMAGE

    @property
    def disk(self) -> Path:
        """The root disk as it was then; never written to again."""
        return self.entry / DISK

    @property
    def console(self) -> bytes:
        """The console output of the guest until then."""
        return (self.entry / CONSOLE).read_bytes()

    @property
    def saved(self) -> str:
        """When it was saved, for a reader."""
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(float(self.facts["saved"])))

    @property
    def image_crc(self) -> int:
        """CRC-32 of the image."""
        return int(self.facts["image_crc"])

    def check_disk(self) -> None:
        """Raise DamagedImage if the disk is not what was saved."""
        if checksum(self.disk) != self.facts["disk_crc"]:
            raise DamagedImage(f"{self.disk}: its contents changed after it was saved")


def is_wanted(settings: Settings) -> bool:
    """Whether guests are restored at all: a libvirt daemon may run them elsewhere, or as another user."""
    return settings.uri == EMBEDDED and not settings.cold


def key_of(host: Host, machine: Machine, *, cards: int, shared: int, libvirt: int) -> dict[str, Any]:
    """Everything that distinguishes a guest from another for the guest itself, except its identity.

    `shared` is the size of the disk that it shares with others, or 0; `libvirt` is the version of libvirt.
    """
    qemu = Path(which(QEMU) or QEMU).stat()
    return {
        "builder": BUILDER,
        "image": machine.image.digest,
        "kernel": machine.kernel.digest,
        "modules": {path: _digest(file) for path, file in machine.modules.items()},
        "own_modules": {name: _digest(file) for name, file in machine.own_modules.items()},
        "cmdline": cmdline_of(host),
        "memory": host.memory,
        "cpus": host.cpus,
        "disks": [host.disk, host.scratch, shared],
        "cards": cards,
        "accelerator": machine.accelerator,
        "processor": _processor() if machine.accelerator == "kvm" else "",
        "libvirt": libvirt,
        # Not its version: QEMU or libvirt takes a while to report it, and a security update does not change it.
        "qemu": [qemu.st_size, qemu.st_mtime_ns],
        "parts": {path.name: _digest(path) for path in (vm_images() / "boot.sh", AGENT, DOMAIN)},
    }


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _processor() -> str:
    """This machine's processor: under KVM, a guest sees it as it is."""
    lines = Path("/proc/cpuinfo").read_text().partition("\n\n")[0].splitlines()
    kept = ("vendor_id", "cpu family", "model", "stepping", "microcode", "flags")
    return sha256("\n".join(line for line in lines if line.split("\t")[0] in kept).encode()).hexdigest()


@contextmanager
def taken(cache: Cache, key: Mapping[str, Any], build: Build, *, memory: int) -> Iterator[Snapshot]:
    """The snapshot for `key`, built if there is none, and not removed during the body.

    Raises DamagedImage if its facts cannot be read; the snapshot is then removed.
    """
    entry, held = hold(lambda: cache.get_or_build(KIND, key, build, need=memory + NEED))
    with ExitStack() as stack:
        stack.callback(os.close, held)
        try:
            snapshot = Snapshot(entry, _facts(entry))
        except DamagedImage:
            stack.close()
            remove(cache, entry)
            raise
        yield snapshot


def _facts(entry: Path) -> dict[str, Any]:
    try:
        facts = json.loads((entry / FACTS).read_bytes())
        return {"saved": float(facts["saved"]), **{name: int(facts[name]) for name in ("image_crc", "disk_crc")}}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedImage(f"{entry / FACTS} cannot be read: {error}") from error


def write_facts(folder: Path) -> None:
    """Note what is in the folder of a new snapshot, so that it can be checked."""
    facts = {"saved": time.time(), "image_crc": checksum(folder / IMAGE), "disk_crc": checksum(folder / DISK)}
    (folder / FACTS).write_text(json.dumps(facts), encoding="utf-8")
