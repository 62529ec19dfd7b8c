"""A loop device on a file or on another disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

from harness.model.errors import InfraError, UsageError
from harness.model.storage_protocols import StorageProtocol
from harness.model.topology import MIB, Topology
from harness.site.capabilities import Capabilities, required_by
from harness.site.needs import Needs, needs_of, together
from harness.site.target import Site, Target
from harness.storage.base import MKFS, ServedBy, Storage, StorageProbe, pages_per_second, take_down, unmount

MOUNT = "/srv/harness-loop"
DEVICE = "/run/harness/loop"  # a symlink to the device, whose number varies
USES = ("raw", "file")
MERGES = "/run/harness/loop-nomerges"  # the queue's original value


class Backing(Storage, Protocol):
    """Storage below a loop device: a file system with room for a file at `path`, or a block device at `path`."""

    @property
    def path(self) -> str:
        """The path of that file, or the block device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopDisk:
    """A loop device of `size` bytes on `client`, backed by a file on `disk`, or by the beginning of that disk.

    `use` is "raw" (workloads or swap use the device) or "file" (workloads use a file on an ext4 file system on it).
    Without `direct_io`, the default, the driver writes to its file through the page cache, so each write to the device
    needs a page. With `direct_io` writes go past the page cache. For a request of several bios the driver still
    allocates memory, for the list of their pages (kmalloc_array() in lo_rw_aio()). `merges=False` prevents such
    requests (`nomerges` is 2).
    """

    disk: Backing
    client: str = "client"
    use: str = "raw"
    size: int = 512 * MIB
    direct_io: bool = False
    merges: bool = True

    def __post_init__(self) -> None:
        """Raises UsageError for an unknown use or an invalid size."""
        if self.use not in USES:
            raise UsageError(f"LoopDisk: no use {self.use!r}; there are: {', '.join(USES)}")
        if self.size < 32 * MIB or self.size % MIB:
            raise UsageError(f"LoopDisk: a size of {self.size} bytes; give whole MiB, 32 or more")

    def describe(self) -> str:
        """See `Storage.describe`."""
        how = "past the page cache" if self.direct_io else "through the page cache"
        how += "" if self.merges else ", no requests merged"
        return f"loop device of {self.client}, as {self.use}, {how}, on: {self.disk.describe()}"

    @property
    def protocol(self) -> StorageProtocol | None:
        """See `Storage.protocol`."""
        return self.disk.protocol

    def served_by(self, topology: Topology) -> ServedBy:
        """See `Storage.served_by`."""
        return self.disk.served_by(topology)

    @property
    def critical_tasks(self) -> tuple[str, ...]:
        """See `Storage.critical_tasks`."""
        return self.disk.critical_tasks

    @property
    def bound_s(self) -> float:
        """See `Storage.bound_s`."""
        return self.disk.bound_s

    @property
    def mount(self) -> str:
        """Where the file system of the use "file" is mounted."""
        return MOUNT

    @property
    def path(self) -> str:
        """Where a workload writes: the device from its beginning to 1 MiB before its end, or a file."""
        return f"{MOUNT}/work" if self.use == "file" else DEVICE

    def requires(self) -> Capabilities:
        """See `Requiring.requires`."""
        return required_by(self.disk)

    def needs(self, topology: Topology) -> Needs:
        """See `Needing.needs`."""
        return together(needs_of(self.disk, topology), {self.client: ("loop",)})

    def set_up(self, site: Site) -> StorageProbe:
        """See `Storage.set_up`."""
        target = site.role(self.client)
        probe = self.disk.set_up(site)
        # Write every block once: holes, or blocks that are only reserved, would make it another experiment.
        fill = "dd if=/dev/zero of=%s bs=1M count=%s oflag=direct 2>/dev/null && modprobe loop"
        target.shell.run(fill, self.disk.path, self.size // MIB, deadline=site.deadline(60))
        attach = "losetup --find --show --sizelimit=%s --direct-io=%s %s"
        how = "on" if self.direct_io else "off"
        device = target.shell.run(attach, self.size, how, self.disk.path, deadline=site.deadline(10)).stdout.strip()
        name = device.rpartition("/")[2]
        self._check(site, target, name)
        if not self.merges:
            queue = f"/sys/block/{name}/queue/nomerges"
            target.shell.run("cat %s >%s && echo 2 >%s", queue, MERGES, queue, deadline=site.deadline(10))
        target.shell.run("ln -sfn %s %s", device, DEVICE, deadline=site.deadline(10))
        if self.use == "file":
            make = f"{MKFS} %s && mkdir -p %s && mount %s %s"
            target.shell.run(make, DEVICE, MOUNT, device, MOUNT, deadline=site.deadline(30))
        return self._beside(probe, name)

    def _check(self, site: Site, target: Target, name: str) -> None:
        """Raises InfraError if direct I/O is not as asked: a file system may refuse it, and losetup stays silent."""
        reported = target.shell.run("cat /sys/block/%s/loop/dio", name, deadline=site.deadline(10)).stdout.strip()
        if reported != str(int(self.direct_io)):
            raise InfraError(
                f"{target.name}: /dev/{name} has direct I/O {reported or 'unknown'}, not {int(self.direct_io)}"
            )

    def _beside(self, probe: StorageProbe, name: str) -> StorageProbe:
        return replace(
            probe,
            spec=self._spec(),
            counters={**probe.counters, name: f"/sys/block/{name}/stat"},
            evidence=(f"/sys/block/{name}/stat", f"/sys/block/{name}/inflight", *probe.evidence),
        )

    def _spec(self) -> Mapping[str, Any]:
        if self.use == "file":
            return {"path": f"{MOUNT}/probe", "offset": 0, "write": True, "create": True}
        return {"path": DEVICE, "offset": self.size - MIB, "write": True}

    def baseline(self, site: Site) -> float:
        """See `Storage.baseline`; writes go past the page cache of the device, not past that of the file behind it."""
        return pages_per_second(site.role(self.client), site, f"dd if=/dev/zero of={self.path} oflag=direct")

    def tear_down(self, site: Site) -> None:
        """See `Storage.tear_down`; a failed step does not prevent the next."""
        steps = (self._release, self._detach, self.disk.tear_down)
        take_down(site.role(self.client).name, *(partial(step, site) for step in steps))

    def _release(self, site: Site) -> None:
        target = site.role(self.client)
        target.agent.ask("storage", path=None, deadline=site.deadline(5))  # its probe has the disk open
        if self.use == "file":
            target.shell.run(f"{unmount(MOUNT)}; rmdir {MOUNT}", deadline=site.deadline(20))

    def _detach(self, site: Site) -> None:
        path = self.disk.path
        script = (
            f"for d in $(losetup -n -O NAME -j %s); do"
            f" [ ! -e {MERGES} ] || cat {MERGES} >/sys/block/${{d#/dev/}}/queue/nomerges; losetup -d $d; done;"
            " rm -f %s %s; [ -b %s ] || rm -f %s"
        )
        site.role(self.client).shell.run(script, path, DEVICE, MERGES, path, path, deadline=site.deadline(20))
