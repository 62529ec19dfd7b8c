"""The protocol of a fault."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from harness.site.target import Site


class Fault(Protocol):
    """A fault, injected `at_s` seconds after the load began and healed `heal_after_s` later; None: never."""

    @property
    def at_s(self) -> float:
        """Seconds after the load began."""

    @property
    def heal_after_s(self) -> float | None:
        """Seconds after the injection, or None: never."""

    def describe(self) -> str:
        """The fault and its host in a few words."""

    def inject(self, site: Site) -> None:
        """Inject the fault."""

    def heal(self, site: Site) -> None:
        """Undo the fault."""


@runtime_checkable
class Prepared(Fault, Protocol):
    """A fault that is prepared beforehand, so that its injection takes only an instant."""

    def prepare(self, site: Site) -> None:
        """Do everything that has no effect on the load yet; called once, before the load."""


@runtime_checkable
class Expelling(Fault, Protocol):
    """A fault that removes one host from the experiment."""

    def expels(self, site: Site) -> str:
        """The name of the removed host."""
