"""What brings the hosts of a topology up, and what it is told and tells: `harness.providers` has those that there are.

The order is `check`, `prepare`, `provide`. What a run that was killed has left is for `reap` and `tidy`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from harness.model.obligation import Obligation
from harness.model.observe import Progress
from harness.model.topology import Topology
from harness.site.capabilities import Requirement
from harness.site.target import Site


class Listener(Protocol):
    """Hears everything that hosts say, from their first byte; called on threads of the drivers."""

    def on_console(self, host: str, data: bytes) -> None:
        """Bytes that a host printed on its console."""

    def on_record(self, host: str, record: dict[str, Any]) -> None:
        """A record of the agent of a host."""


class Deaf:
    """A listener that lets everything pass."""

    def on_console(self, host: str, data: bytes) -> None:
        """See `Listener.on_console`."""

    def on_record(self, host: str, record: dict[str, Any]) -> None:
        """See `Listener.on_record`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostNeeds:
    """What is to be done needs of the hosts, each by the name of a host.

    `kernel` are names of modules ("nbd"), which may as well be built in, and options ("CONFIG_SWAP"); `capabilities`
    what the hosts must offer.
    """

    kernel: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    capabilities: tuple[Requirement, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedHost:
    """What one host will run.

    `kernel` is its release. `modules` has the name of every module that replaces one of the kernel's, and the source
    version that it must show when it is loaded, "" where its file has none. `facts` is what the manifest says of it.
    """

    kernel: str
    modules: Mapping[str, str]
    facts: Mapping[str, Any]


class Prepared(Protocol):
    """All that the hosts of a topology are made of; it can be pickled, and only its own provider can use it."""

    @property
    def hosts(self) -> Mapping[str, PreparedHost]:
        """By the name of the host."""


class Provider(Protocol):
    """Brings hosts of one kind up."""

    @property
    def name(self) -> str:
        """What its obligations call it."""

    def check(self, topology: Topology, needs: HostNeeds, progress: Progress) -> None:
        """Raise UsageError or HostEnvironmentError if such hosts cannot do what is needed; nothing is built for that.

        What is needed and can only be told once the hosts are up is left to whoever uses it.
        """

    def prepare(self, topology: Topology, needs: HostNeeds, progress: Progress) -> Prepared:
        """Check, and then find or build what the hosts run; raises as `check` does, and InfraError."""

    def provide(
        self,
        topology: Topology,
        prepared: Prepared,
        *,
        purpose: str,
        listener: Listener,
        console_path: Callable[[str], Path],
        notes: Progress,
        on_wait: Callable[[str], None],
        on_begin: Callable[[], None],
    ) -> AbstractContextManager[Site]:
        """Bring the hosts up, hold them for the body, and leave nothing of them.

        `console_path` says where what a host prints is kept. While others have what is needed, `on_wait` gets a line
        that says who, and `purpose` is what they hear of us; `on_begin` is called when the wait is over. Raises
        BootError or InfraError if they do not come up.
        """

    def reap(self, obligation: Obligation) -> list[str]:
        """Meet what a dead run owes; a line for each thing that was ended. Raises HarnessError if it cannot be met."""

    def tidy(self) -> list[str]:
        """Remove what dead processes left outside of any run, such as places in a queue; one line for each thing."""

    def fit(self, topologies: Collection[Topology]) -> int:
        """How many trials at the same time are worth it here, on the largest of the topologies; at least one."""
