"""What is done to a host in a trial."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from harness.site.target import Site


class Fault(Protocol):
    """Injected `at_s` seconds after the load began; healed `heal_after_s` later, or never if that is None."""

    @property
    def at_s(self) -> float:
        """Seconds after the load began."""

    @property
    def heal_after_s(self) -> float | None:
        """Seconds after the injection, or None: never."""

    def describe(self) -> str:
        """What is done to whom, in a few words."""

    def inject(self, site: Site) -> None:
        """Do it."""

    def heal(self, site: Site) -> None:
        """Undo it."""


@runtime_checkable
class Prepared(Fault, Protocol):
    """A fault that needs something beforehand, so that its injection takes but an instant."""

    def prepare(self, site: Site) -> None:
        """Do all of it that does no harm; called once, before the load."""


@runtime_checkable
class Expelling(Fault, Protocol):
    """A fault after which one host is no longer part of the experiment."""

    def expels(self, site: Site) -> str:
        """The name of that host."""
