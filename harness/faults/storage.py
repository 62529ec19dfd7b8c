"""Faults of a host's storage: its mapped disk stops or crawls, a file system freezes, a disk is throttled."""

from __future__ import annotations

from dataclasses import dataclass

from harness.drivers.protocols import DiskThrottle
from harness.model.errors import UsageError
from harness.site import dm_device
from harness.site.capabilities import Capabilities
from harness.site.facts import ROOT, SCRATCH, SHARED
from harness.site.target import Site

ACT_S = 10.0
DISKS = (ROOT, SCRATCH, SHARED)


@dataclass(frozen=True, slots=True, kw_only=True)
class DmSuspend:
    """The mapped disk (harness/storage/mapped.py) of the host that plays `role` accepts requests and completes none."""

    role: str
    at_s: float = 0.0
    heal_after_s: float | None = None

    def describe(self) -> str:
        """See `Fault.describe`."""
        return f"mapped disk of {self.role} suspended"

    def inject(self, site: Site) -> None:
        """See `Fault.inject`."""
        dm_device.suspend(site.role(self.role), site.deadline(ACT_S))

    def heal(self, site: Site) -> None:
        """See `Fault.heal`."""
        dm_device.resume(site.role(self.role), site.deadline(ACT_S))


@dataclass(frozen=True, slots=True, kw_only=True)
class DmDelay:
    """Every request to the mapped disk of the host that plays `role` takes `milliseconds` longer."""

    role: str
    milliseconds: int
    at_s: float = 0.0
    heal_after_s: float | None = None

    def __post_init__(self) -> None:
        """Raises UsageError for a delay of less than 1 ms."""
        if self.milliseconds < 1:
            raise UsageError(f"DmDelay: {self.milliseconds} ms is no delay; give 1 or more")

    def describe(self) -> str:
        """See `Fault.describe`."""
        return f"mapped disk of {self.role} delayed by {self.milliseconds} ms"

    def inject(self, site: Site) -> None:
        """See `Fault.inject`."""
        dm_device.slow_down(site.role(self.role), self.milliseconds, site.deadline(ACT_S))

    def heal(self, site: Site) -> None:
        """See `Fault.heal`; on delayed swap, its own allocations may wait for about two requests."""
        dm_device.speed_up(site.role(self.role), site.deadline(ACT_S + 4 * self.milliseconds / 1000))


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """The file system at `mount` on the host that plays `role` is frozen: writers to it wait."""

    role: str
    mount: str
    at_s: float = 0.0
    heal_after_s: float | None = None

    def describe(self) -> str:
        """See `Fault.describe`."""
        return f"{self.mount} of {self.role} frozen"

    def inject(self, site: Site) -> None:
        """See `Fault.inject`."""
        site.role(self.role).shell.run("fsfreeze -f %s", self.mount, deadline=site.deadline(ACT_S))

    def heal(self, site: Site) -> None:
        """See `Fault.heal`."""
        site.role(self.role).shell.run("fsfreeze -u %s", self.mount, deadline=site.deadline(ACT_S))


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttle:
    """`disk` ("root", "scratch", "shared") of the host that plays `role` is throttled to `bytes_per_s`.

    The throttle works below the host and needs nothing of its kernel.
    """

    role: str
    disk: str
    bytes_per_s: int
    at_s: float = 0.0
    heal_after_s: float | None = None

    def __post_init__(self) -> None:
        """Raises UsageError for an unknown disk, or a rate below 1: QEMU takes 0 for "no limit"."""
        if self.disk not in DISKS:
            raise UsageError(f"Throttle: no disk {self.disk!r}; there are: {', '.join(DISKS)}")
        if self.bytes_per_s < 1:
            raise UsageError(f"Throttle: {self.bytes_per_s} bytes a second is no rate; give 1 or more")

    def describe(self) -> str:
        """See `Fault.describe`."""
        return f"{self.disk} disk of {self.role} throttled to {self.bytes_per_s} bytes/s"

    def requires(self) -> Capabilities:
        """See `Requiring.requires`."""
        return {self.role: (DiskThrottle,)}

    def inject(self, site: Site) -> None:
        """See `Fault.inject`."""
        site.role(self.role).need(DiskThrottle).throttle(self.disk, self.bytes_per_s)

    def heal(self, site: Site) -> None:
        """See `Fault.heal`."""
        site.role(self.role).need(DiskThrottle).throttle(self.disk, None)
