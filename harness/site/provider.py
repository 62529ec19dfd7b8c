"""The protocol of providers, which bring the hosts of a topology up; `harness.providers` has all providers.

The order is `check`, `prepare`, `provide`. `reap` and `tidy` remove what a killed run left.
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
    """Receives the console bytes and agent records of hosts, from the first byte; called on threads of the drivers."""

    def on_console(self, host: str, data: bytes) -> None:
        """Bytes that a host printed on its console."""

    def on_record(self, host: str, record: dict[str, Any]) -> None:
        """A record from the agent of a host."""


class Deaf:
    """A listener that discards everything."""

    def on_console(self, host: str, data: bytes) -> None:
        """See `Listener.on_console`."""

    def on_record(self, host: str, record: dict[str, Any]) -> None:
        """See `Listener.on_record`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostNeeds:
    """Needs of a plan, by the name of a host.

    `kernel` has names of modules ("nbd"), which may also be built in, and options ("CONFIG_SWAP"); `capabilities` has
    the protocols that the hosts must offer, `programs` those that must be installed.
    """

    kernel: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    programs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    capabilities: tuple[Requirement, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedHost:
    """What one host will run.

    `kernel` is its release. `modules` maps the name of every module that replaces one of the kernel's to the source
    version that it must show when it is loaded, "" if its file has none. `facts` go into the manifest.
    """

    kernel: str
    modules: Mapping[str, str]
    facts: Mapping[str, Any]


class Prepared(Protocol):
    """Everything that the hosts of a topology boot from; it can be pickled, and only its own provider can use it."""

    @property
    def hosts(self) -> Mapping[str, PreparedHost]:
        """By the name of the host."""


class Provider(Protocol):
    """Brings hosts of one kind up."""

    @property
    def name(self) -> str:
        """Its name in obligations."""

    def check(self, topology: Topology, needs: HostNeeds, progress: Progress) -> None:
        """Raise UsageError or HostEnvironmentError if such hosts cannot meet the needs; builds nothing.

        Needs that can only be checked on a live host are left to the parts that have them.
        """

    def prepare(self, topology: Topology, needs: HostNeeds, progress: Progress) -> Prepared:
        """Check the needs, then find or build what the hosts run; raises as `check` does, and InfraError."""

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
        """Bring the hosts up, hold them for the body, and remove everything of them afterwards.

        `console_path` returns the file for a host's console output. While other runs hold the resources, `on_wait` gets
        a line that names them; `purpose` is what they see of this run. `on_begin` is called when the wait is over.
        Raises BootError or InfraError if the hosts do not come up.
        """

    def reap(self, obligation: Obligation) -> list[str]:
        """Meet an obligation of a dead run; a line for each thing that was ended. Raises HarnessError if that fails."""

    def tidy(self) -> list[str]:
        """Remove what dead processes left outside of any run, such as places in a queue; one line for each thing."""

    def fit(self, topologies: Collection[Topology]) -> int:
        """How many trials to run at the same time here, on the largest of the topologies; at least one."""
