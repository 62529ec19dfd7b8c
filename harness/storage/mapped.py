"""The scratch disk of a host behind device-mapper, where faults can stop it or slow it down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from harness.drivers.protocols import DiskThrottle
from harness.model.errors import InfraError, UsageError
from harness.model.storage_protocols import StorageProtocol
from harness.model.topology import MIB, Topology
from harness.site import dm_device
from harness.site.facts import SCRATCH
from harness.site.needs import Needs
from harness.site.target import Site, Target
from harness.storage.base import MEMORY, MKFS, ServedBy, StorageProbe, pages_per_second, take_down, unmount

MOUNT = "/srv/harness"
USES = ("raw", "file", "swap")
EVIDENCE = (  # "dm" and "disk" stand for the kernel's names of the device and of the disk below it
    "/sys/block/dm/stat",
    "/sys/block/dm/inflight",
    "/sys/block/disk/stat",
    "/sys/block/disk/inflight",
    "/proc/swaps",
    *MEMORY,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedDisk:
    """The scratch disk of the role `host` behind device-mapper; the faults `DmSuspend` and `DmDelay` act on it.

    `use` is "raw" (workloads write to the device), "file" (workloads write to a file on an ext4 file system on it) or
    "swap" (the device becomes swap after the baseline measurement).
    """

    host: str = "client"
    use: str = "raw"

    def __post_init__(self) -> None:
        """Raises UsageError for an unknown use."""
        if self.use not in USES:
            raise UsageError(f"MappedDisk: no use {self.use!r}; there are: {', '.join(USES)}")

    def describe(self) -> str:
        """See `Storage.describe`."""
        return f"scratch disk of {self.host} behind device-mapper, as {self.use}"

    @property
    def protocol(self) -> StorageProtocol | None:
        """See `Storage.protocol`."""
        return None

    @property
    def scratch_roles(self) -> frozenset[str]:
        """See `OnScratch.scratch_roles`."""
        return frozenset({self.host})

    def served_by(self, topology: Topology) -> ServedBy:
        """See `Storage.served_by`."""
        return {}

    @property
    def critical_tasks(self) -> tuple[str, ...]:
        """See `Storage.critical_tasks`."""
        return ()

    @property
    def bound_s(self) -> float:
        """See `Storage.bound_s`."""
        return 0.0

    @property
    def mount(self) -> str:
        """Where the file system of the use "file" is mounted."""
        return MOUNT

    @property
    def path(self) -> str:
        """Where a workload writes: the device from its beginning to 1 MiB before its end, or a file."""
        return f"{MOUNT}/work" if self.use == "file" else dm_device.DEVICE

    def needs(self, topology: Topology) -> Needs:
        """See `Needing.needs`."""
        swap = ("CONFIG_SWAP",) if self.use == "swap" else ()
        return {self.host: ("dm_mod", "dm_delay", *swap)}

    def set_up(self, site: Site) -> StorageProbe:
        """See `Storage.set_up`; raises UsageError if the host has no scratch disk."""
        target = site.role(self.host)
        device = dm_device.create(target, site.deadline(10))
        if self.use == "file":
            make = f"{MKFS} %s && mkdir -p %s && mount %s %s"
            target.shell.run(make, dm_device.DEVICE, MOUNT, dm_device.DEVICE, MOUNT, deadline=site.deadline(30))
        disk = target.disk(SCRATCH)
        name = disk.kernel_name
        return StorageProbe(
            host=target.name,
            spec=self._probe(disk.size),
            counters={device: f"/sys/block/{device}/stat", name: f"/sys/block/{name}/stat"},
            evidence=tuple(path.replace("/dm/", f"/{device}/").replace("/disk/", f"/{name}/") for path in EVIDENCE),
        )

    def _probe(self, size: int) -> Mapping[str, Any]:
        if self.use == "file":
            return {"path": f"{MOUNT}/probe", "offset": 0, "write": True, "create": True}
        # The kernel refuses writes to a swap device; a read is like a page-in.
        return {"path": dm_device.DEVICE, "offset": size - MIB, "write": self.use == "raw"}

    def baseline(self, site: Site) -> float:
        """See `Storage.baseline`; writes past the page cache. For swap it also reads, then switches swap on."""
        target = site.role(self.host)
        path = f"{MOUNT}/baseline" if self.use == "file" else dm_device.DEVICE
        copies = [f"dd if=/dev/zero of={path} oflag=direct"]
        if self.use == "swap":
            copies.append(f"dd if={path} of=/dev/null iflag=direct")
        pages = pages_per_second(target, site, *copies)
        self._after_baseline(site, target, path)
        return pages

    def _after_baseline(self, site: Site, target: Target, path: str) -> None:
        if self.use == "file":
            target.shell.run("rm %s", path, deadline=site.deadline(10))
        elif self.use == "swap":
            target.shell.run("mkswap %s >/dev/null && swapon %s", path, path, deadline=site.deadline(10))

    def tear_down(self, site: Site) -> None:
        """See `Storage.tear_down`; first undoes what a fault left behind."""
        target = site.role(self.host)
        take_down(target.name, *(partial(step, site, target) for step in (self._heal, self._release, self._remove)))

    def _heal(self, site: Site, target: Target) -> None:
        if (throttle := target.find(DiskThrottle)) is not None:
            throttle.throttle(SCRATCH, None)
        dm_device.resume(target, site.deadline(5))
        dm_device.speed_up(target, site.deadline(5))
        target.agent.ask("storage", path=None, deadline=site.deadline(5))  # its probe has the disk open
        target.agent.ask("close", deadline=site.deadline(5))  # it also has the control device open, which pins dm_mod

    def _release(self, site: Site, target: Target) -> None:
        if self.use == "file":
            script = f"fsfreeze -u {MOUNT}; {unmount(MOUNT)}; ! mountpoint -q {MOUNT} && rmdir {MOUNT}"
            target.shell.run(script, deadline=site.deadline(20))
        elif self.use == "swap":
            script = "! grep -qE '^/dev/(dm-|mapper/)' /proc/swaps || swapoff %s"
            target.shell.run(script, dm_device.DEVICE, deadline=site.deadline(20))

    def _remove(self, site: Site, target: Target) -> None:
        done = dm_device.remove(target, site.deadline(10))
        if done.exit_code:
            raise InfraError(f"{dm_device.DEVICE} is still there: {(done.stderr or done.stdout).strip()}")
