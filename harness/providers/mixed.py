"""The provider of topologies with hosts of several kinds: each kind is brought up by its own provider."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from harness.model.errors import InfraError, UsageError
from harness.model.obligation import Obligation
from harness.model.observe import Progress
from harness.model.topology import Host, SharedDisk, Topology
from harness.site.capabilities import check_offers
from harness.site.provider import HostNeeds, Listener, Prepared, PreparedHost, Provider
from harness.site.target import Site

NAME = "mixed"


@dataclass(frozen=True, slots=True)
class PreparedMixed:
    """What each provider prepared, by its name; see `site.provider.Prepared`."""

    parts: Mapping[str, Prepared]

    @property
    def hosts(self) -> dict[str, PreparedHost]:
        """See `Prepared.hosts`."""
        return {name: host for part in self.parts.values() for name, host in part.hosts.items()}


class MixedProvider:
    """Brings hosts of several kinds up, one kind after the other; see `site.provider.Provider`.

    Hosts that somebody owns come first: only they may have to be waited for, and guests hold memory.
    """

    name = NAME

    def __init__(
        self,
        providers: Mapping[str, Provider],
        kind_of: Callable[[Host], str],
        offers_of: Callable[[Host], frozenset[type]],
    ) -> None:
        self._providers, self._kind_of, self._offers_of = providers, kind_of, offers_of

    def _parts(self, topology: Topology) -> dict[str, Topology]:
        """The topology of each kind's hosts; raises UsageError for what hosts of several kinds cannot share.

        A link between kinds is in the topology of each, with all of its hosts: so everybody counts addresses alike.
        """
        kinds = {host.name: self._kind_of(host) for host in topology.hosts}
        for link in topology.links:
            if len({kinds[host] for host in link.hosts}) > 1 and not link.switch:
                raise UsageError(
                    f"topology {topology.name!r}: the link {link.name!r} has guests and physical hosts; name a VDE "
                    'switch that connects them: switch = "/run/vde/rack.ctl"'
                )
        disk = topology.shared_disk
        if disk is not None and len({kinds[host] for host in disk.hosts}) > 1:
            raise UsageError(
                f"topology {topology.name!r}: shared_disk has guests and physical hosts; a disk of guests is a file of "
                f"this machine: put {', '.join(disk.hosts)} on hosts of one kind"
            )
        return {
            kind: replace(
                topology,
                hosts=tuple(host for host in topology.hosts if kinds[host.name] == kind),
                roles={role: host for role, host in topology.roles.items() if kinds[host] == kind},
                links=tuple(link for link in topology.links if kind in {kinds[host] for host in link.hosts}),
                shared_disk=_disk_of(topology, kinds, kind),
            )
            for kind in self._providers
            if kind in kinds.values()
        }

    def _check_offers(self, topology: Topology, needs: HostNeeds) -> None:
        """Each kind does so too, but knows no host of another kind that offers what one lacks."""
        check_offers(needs.capabilities, {host.name: self._offers_of(host) for host in topology.hosts})

    def check(self, topology: Topology, needs: HostNeeds, progress: Progress) -> None:
        """See `Provider.check`."""
        self._check_offers(topology, needs)
        for kind, part in self._parts(topology).items():
            self._providers[kind].check(part, _needs_of(part, needs), progress)

    def prepare(self, topology: Topology, needs: HostNeeds, progress: Progress) -> PreparedMixed:
        """See `Provider.prepare`."""
        self._check_offers(topology, needs)
        parts = self._parts(topology).items()
        return PreparedMixed(
            {kind: self._providers[kind].prepare(part, _needs_of(part, needs), progress) for kind, part in parts}
        )

    @contextmanager
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
    ) -> Iterator[Site]:
        """See `Provider.provide`."""
        assert isinstance(prepared, PreparedMixed), "what another provider prepared"
        parts = self._parts(topology)
        sites: list[Site] = []
        with ExitStack() as stack:
            for number, (kind, part) in enumerate(parts.items(), 1):
                provided = self._providers[kind].provide(
                    part,
                    prepared.parts[kind],
                    purpose=purpose,
                    listener=listener,
                    console_path=console_path,
                    notes=notes,
                    on_wait=on_wait,
                    on_begin=on_begin if number == len(parts) else _nothing,
                )
                sites.append(stack.enter_context(provided))
            yield _together(topology, sites)

    def reap(self, obligation: Obligation) -> list[str]:
        """See `Provider.reap`; it owes nothing of its own."""
        raise InfraError(f"nobody here knows how to end a {obligation.kind} of {obligation.provider!r}")

    def tidy(self) -> list[str]:
        """See `Provider.tidy`."""
        return []

    def fit(self, topologies: Collection[Topology]) -> int:
        """See `Provider.fit`."""
        return min(provider.fit(topologies) for provider in self._providers.values())


def _nothing() -> None:
    pass


def _disk_of(topology: Topology, kinds: Mapping[str, str], kind: str) -> SharedDisk | None:
    disk = topology.shared_disk
    return disk if disk is not None and kinds[disk.hosts[0]] == kind else None


def _needs_of(part: Topology, needs: HostNeeds) -> HostNeeds:
    """The needs of the hosts of one part."""
    names = {host.name for host in part.hosts}
    return replace(
        needs,
        kernel={host: found for host, found in needs.kernel.items() if host in names},
        capabilities=tuple(need for need in needs.capabilities if need.host in names),
        programs={host: found for host, found in needs.programs.items() if host in names},
    )


def _together(topology: Topology, sites: Collection[Site]) -> Site:
    """One site of the hosts of several, each of which knows what all of them offer."""
    offers = {
        name: found for site in sites for target in site.targets.values() for name, found in target.offers.items()
    }
    targets = {name: replace(target, offers=offers) for site in sites for name, target in site.targets.items()}

    def failure() -> Exception | None:
        return next((error for site in sites if (error := site.failure()) is not None), None)

    return Site(topology=topology, targets=targets, failure=failure)
