"""A minimal cluster: a script starts the service, and moves it on the harness's order."""

from __future__ import annotations

from dataclasses import dataclass

from harness.site.target import Site, Target
from harness.storage.cluster.service import NODE, Service


@dataclass(frozen=True, slots=True, kw_only=True)
class Scripted:
    """No cluster manager: nothing monitors the nodes. The fault `TakeOver` orders the surviving one to take over."""

    takeover_s: float = 20.0

    def describe(self) -> str:
        """See `Driver.describe`."""
        return "moved by a script"

    @property
    def command(self) -> str:
        """The command that makes a node take the service over."""
        return f"{NODE} take"

    @property
    def fences(self) -> bool:
        """See `Driver.fences`."""
        return False

    @property
    def critical_tasks(self) -> tuple[str, ...]:
        """See `Driver.critical_tasks`."""
        return ()

    @property
    def log(self) -> str:
        """See `Driver.log`."""
        return ""

    def start(self, site: Site, service: Service) -> None:
        """See `Driver.start`."""
        service.order(site, site.role(service.nodes[0]), "take", 30)

    def stop(self, site: Site, node: Target) -> None:
        """See `Driver.stop`."""
