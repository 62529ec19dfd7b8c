"""The smallest cluster there is: a script starts the service, and moves it when the harness says so."""

from __future__ import annotations

from dataclasses import dataclass

from harness.site.target import Site, Target
from harness.storage.cluster.service import NODE, Service


@dataclass(frozen=True, slots=True, kw_only=True)
class Scripted:
    """Nobody watches the nodes; the fault `TakeOver` gives the order to the one that lives."""

    takeover_s: float = 20.0

    def describe(self) -> str:
        """See `Driver.describe`."""
        return "moved by a script"

    @property
    def command(self) -> str:
        """What the surviving node has to do."""
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
