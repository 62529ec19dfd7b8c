"""Faults injected from outside the host; they need nothing of its kernel."""

from __future__ import annotations

from dataclasses import dataclass

from harness.drivers.protocols import LinkControl, Pausable, Power, VmmProcess
from harness.site.capabilities import Capabilities
from harness.site.facts import MANAGEMENT
from harness.site.target import Site

OFF_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkDown:
    """The cable of `link` is unplugged from the host that plays `role`."""

    role: str
    link: str
    at_s: float = 0.0
    heal_after_s: float | None = None

    def describe(self) -> str:
        """See `Fault.describe`."""
        return f"cable of {self.link} out of {self.role}"

    def requires(self) -> Capabilities:
        """See `Requiring.requires`."""
        return {self.role: (LinkControl,)}

    def inject(self, site: Site) -> None:
        """See `Fault.inject`."""
        site.role(self.role).need(LinkControl).set_link(self.link, up=False)

    def heal(self, site: Site) -> None:
        """See `Fault.heal`."""
        site.role(self.role).need(LinkControl).set_link(self.link, up=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """The virtual processors of the host that plays `role` are paused."""

    role: str
    at_s: float = 0.0
    heal_after_s: float | None = None

    def describe(self) -> str:
        """See `Fault.describe`."""
        return f"{self.role} paused"

    def requires(self) -> Capabilities:
        """See `Requiring.requires`."""
        return {self.role: (Pausable,)}

    def inject(self, site: Site) -> None:
        """See `Fault.inject`."""
        site.role(self.role).need(Pausable).pause()

    def heal(self, site: Site) -> None:
        """See `Fault.heal`."""
        site.role(self.role).need(Pausable).resume()


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerOff:
    """The host that plays `role` loses its power; nothing heals that."""

    role: str
    at_s: float = 0.0
    heal_after_s: float | None = None

    def describe(self) -> str:
        """See `Fault.describe`."""
        return f"{self.role} powered off"

    def requires(self) -> Capabilities:
        """See `Requiring.requires`."""
        return {self.role: (Power,)}

    def inject(self, site: Site) -> None:
        """See `Fault.inject`."""
        site.role(self.role).power.off(deadline=site.deadline(OFF_S))

    def heal(self, site: Site) -> None:
        """Nothing to undo: a guest that lost its power does not come back within its trial."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fence:
    """The host that plays `role` is powered off on purpose, as by a cluster.

    In the verdict, a host that lost its power by `PowerOff` is LOST; a fenced host is out of the experiment.
    """

    role: str
    at_s: float = 0.0
    heal_after_s: float | None = None

    def describe(self) -> str:
        """See `Fault.describe`."""
        return f"{self.role} fenced"

    def requires(self) -> Capabilities:
        """See `Requiring.requires`."""
        return {self.role: (Power,)}

    def expels(self, site: Site) -> str:
        """See `faults.base.Expelling`."""
        return site.role(self.role).name

    def inject(self, site: Site) -> None:
        """See `Fault.inject`."""
        site.role(self.role).power.off(deadline=site.deadline(OFF_S))

    def heal(self, site: Site) -> None:
        """Nothing to undo: a fenced node does not come back within its trial."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KillHypervisor:
    """The QEMU process of the host that plays `role` is killed; nothing heals that."""

    role: str
    at_s: float = 0.0
    heal_after_s: float | None = None

    def describe(self) -> str:
        """See `Fault.describe`."""
        return f"QEMU of {self.role} killed"

    def requires(self) -> Capabilities:
        """See `Requiring.requires`."""
        return {self.role: (VmmProcess,)}

    def inject(self, site: Site) -> None:
        """See `Fault.inject`."""
        site.role(self.role).need(VmmProcess).kill()

    def heal(self, site: Site) -> None:
        """Nothing to undo: a guest without its QEMU does not come back within its trial."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagementCut:
    """The management network, and with it SSH, is cut off from the host that plays `role`; all else goes on."""

    role: str
    at_s: float = 0.0
    heal_after_s: float | None = None

    def describe(self) -> str:
        """See `Fault.describe`."""
        return f"management network of {self.role} cut"

    def requires(self) -> Capabilities:
        """See `Requiring.requires`."""
        return {self.role: (LinkControl,)}

    def inject(self, site: Site) -> None:
        """See `Fault.inject`."""
        site.role(self.role).need(LinkControl).set_link(MANAGEMENT, up=False)

    def heal(self, site: Site) -> None:
        """See `Fault.heal`."""
        site.role(self.role).need(LinkControl).set_link(MANAGEMENT, up=True)
