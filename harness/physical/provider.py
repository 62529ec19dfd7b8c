"""The provider of hosts that somebody owns: reserves them, checks them, puts them under a run, and brings them home."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from harness.drivers.serial.bounded_file import BoundedFile
from harness.kernels.host_kernels import kernels_for, own_modules, replacements
from harness.kernels.kernel_checks import source_version
from harness.kernels.kernels import Kernel
from harness.kernels.module_set import module_name
from harness.model.clock import Deadline
from harness.model.errors import HarnessError, UsageError
from harness.model.obligation import Obligation
from harness.model.observe import Progress
from harness.model.owned_host import OWN_KERNEL
from harness.model.settings import Settings
from harness.model.topology import Host, Topology
from harness.physical.home_again import meet_owed
from harness.physical.kexec_boot import INSTALLED
from harness.physical.link_checks import disagreements
from harness.physical.offers import offers, owned
from harness.physical.owed import PROVIDER
from harness.physical.run_kernel import RunKernel
from harness.physical.session import Ground, Session
from harness.site.addressing import address_of
from harness.site.capabilities import check_offers
from harness.site.own_speed import own_speed
from harness.site.provider import HostNeeds, Listener, Prepared, PreparedHost
from harness.site.target import Site
from harness.state.hosts import HostFiles
from harness.state.state import StateDir

WAIT_S = 4 * 3600.0  # for another run that has a host
CONSOLE_LIMIT = 8 * 1024 * 1024
ANY = 1 << 16  # no limit of ours

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedOwned:
    """What owned hosts will run, by name; see `site.provider.Prepared`. Without one in `kernels`: its owner's."""

    owned: Mapping[str, Host]
    kernels: Mapping[str, RunKernel]
    needs: HostNeeds

    @property
    def hosts(self) -> dict[str, PreparedHost]:
        """See `Prepared.hosts`."""
        return {name: _as_prepared(host, self.kernels.get(name)) for name, host in self.owned.items()}


def _as_prepared(host: Host, run: RunKernel | None) -> PreparedHost:
    facts = {"kind": "physical", "address": owned(host).address, "kernel_from": host.kernel}
    if run is None:
        return PreparedHost(kernel="", modules={}, facts=facts)
    kernel = run.kernel
    return PreparedHost(
        kernel=kernel.release,
        modules={module_name(path): source_version(file) for path, file in run.modules.items()},
        facts={
            **facts,
            "kernel": kernel.release,
            "kernel_package": kernel.version,
            "kernel_digest": kernel.digest,
            "modules": {path: file.name for path, file in run.modules.items()},
        },
    )


class PhysicalProvider:
    """Brings hosts up that somebody owns; see `site.provider.Provider` for what each method promises."""

    name = PROVIDER

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def check(self, topology: Topology, needs: HostNeeds, progress: Progress) -> None:
        """See `Provider.check`: what the inventory alone says; the hosts are not asked."""
        self._checked(topology, needs, progress)

    def _checked(self, topology: Topology, needs: HostNeeds, progress: Progress) -> dict[str, Kernel]:
        check_offers(needs.capabilities, {host.name: offers(host) for host in topology.hosts})
        problems = [line for host in topology.hosts for line in _unusable(host)]
        if problems:
            raise UsageError("\n".join(problems))
        booted = [host for host in topology.hosts if _is_of_the_run(host)]
        return kernels_for(self._settings, booted, progress, needs.kernel)

    def prepare(self, topology: Topology, needs: HostNeeds, progress: Progress) -> PreparedOwned:
        """See `Provider.prepare`."""
        kernels = self._checked(topology, needs, progress)
        hosts = {host.name: host for host in topology.hosts}
        return PreparedOwned(
            owned=hosts,
            kernels={
                name: RunKernel(
                    kernel=kernel,
                    modules=replacements(self._settings, hosts[name], kernel, progress),
                    own_modules=own_modules(self._settings, hosts[name], kernel, progress),
                )
                for name, kernel in kernels.items()
            },
            needs=needs,
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
        """See `Provider.provide`; what a run waits for is another run that has one of the hosts."""
        assert isinstance(prepared, PreparedOwned), "what another provider prepared"
        state = StateDir.of(self._settings)
        wait = Deadline.after(WAIT_S)
        with ExitStack() as stack:
            for host in sorted(topology.hosts, key=lambda host: host.name):  # one order for all: no two wait crosswise
                files = HostFiles(state, host.name, owned(host).host_key)
                stack.enter_context(files.held(purpose, wait, on_wait))
            run = stack.enter_context(state.open_run())
            own_speed()
            ground = Ground(
                settings=self._settings,
                run=run,
                token=f"{run.name}{secrets.token_hex(8)}",
                purpose=purpose,
                listener=listener,
                notes=notes,
                on_wait=on_wait,
                wait=wait,
                programs=prepared.needs.programs,
                modules=prepared.needs.kernel,
                links={
                    host.name: tuple(link.name for link in topology.links if host.name in link.hosts)
                    for host in topology.hosts
                },
            )
            rack = Rack(topology, prepared, ground)
            stack.callback(rack.close)
            rack.open(console_path, stack)
            on_begin()
            yield rack.start()

    def reap(self, obligation: Obligation) -> list[str]:
        """See `Provider.reap`."""
        return meet_owed(obligation, StateDir.of(self._settings))

    def tidy(self) -> list[str]:
        """See `Provider.tidy`: locks end with their processes."""
        return []

    def fit(self, topologies: Collection[Topology]) -> int:
        """See `Provider.fit`: trials wait for their hosts, and cost nothing here."""
        return ANY


def _is_of_the_run(host: Host) -> bool:
    """Whether it boots a kernel from this machine, and neither stays on its owner's nor boots one that is installed."""
    return host.kernel != OWN_KERNEL and not host.kernel.startswith(INSTALLED)


def _unusable(host: Host) -> Iterator[str]:
    """Why the inventory alone rules a host out."""
    if not owned(host).disposable:
        yield (
            f"host {host.name} is not disposable, so no load, fault or kernel is put on it; "
            "if it may be wrecked, say disposable = true in the inventory"
        )
    if not _is_of_the_run(host) and (host.modules or host.patches):
        yield (
            f"host {host.name} stays on a kernel of its owner's, whose modules are not replaced; "
            'give it a kernel of the run, such as kernel = "debian:12"'
        )


class Rack:
    """The hosts of one topology. `open` reserves and checks all of them before `start` changes the first."""

    def __init__(self, topology: Topology, prepared: PreparedOwned, ground: Ground) -> None:
        self._topology, self._prepared, self._ground = topology, prepared, ground
        self._sessions: list[Session] = []

    def open(self, console_path: Callable[[str], Path], stack: ExitStack) -> None:
        """Reserve and check every host; raises UsageError with a line for each reason not to use one."""
        for host in self._topology.hosts:
            console = BoundedFile(console_path(host.name), CONSOLE_LIMIT)
            stack.callback(console.close)
            self._sessions.append(Session(self._ground, host, console))
        for session in sorted(self._sessions, key=lambda session: session.name):
            session.reserve()
        reasons = [line for lines in self._each(lambda session: session.check()) for line in lines]
        found = {one.name: (one.spec, one.before) for one in self._sessions if one.before is not None}
        reasons = reasons or disagreements(self._topology, found)
        if reasons:
            raise UsageError("\n".join(reasons))

    def start(self) -> Site:
        """Boot, deploy, start the agents."""
        self._each(self._boot)
        addresses = dict(zip((one.name for one in self._sessions), self._each(self._give_addresses), strict=True))
        self._each(lambda session: self._start(session, addresses))
        offered = {host.name: offers(host) for host in self._topology.hosts}
        targets = [session.target(offered) for session in self._sessions]  # one by one: each measures its speed
        return Site(topology=self._topology, targets={one.name: one for one in targets}, failure=self._failure)

    def _boot(self, session: Session) -> None:
        session.boot(self._prepared.kernels.get(session.name))

    def _give_addresses(self, session: Session) -> dict[str, str]:
        wanted = {}
        for link in self._topology.links:
            if session.name in link.hosts:
                prefix = link.subnet.partition("/")[2]
                wanted[link.name] = f"{address_of(self._topology, link.name, session.name)}/{prefix}"
        return session.give_addresses(wanted, {link.name for link in self._topology.links if link.switch})

    def _start(self, session: Session, addresses: Mapping[str, Mapping[str, str]]) -> None:
        peers = [
            addresses[other][link.name].partition("/")[0]
            if other in addresses
            else address_of(self._topology, link.name, other)  # a guest's
            for link in self._topology.links
            if session.name in link.hosts
            for other in link.hosts
            if other != session.name
        ]
        run = self._prepared.kernels.get(session.name)
        session.start(peers, run.own_modules if run is not None else {}, addresses[session.name])

    def _failure(self) -> Exception | None:
        return next((one.failure for one in self._sessions if one.failure is not None), None)

    def _each(self, act: Callable[[Session], T]) -> list[T]:
        """Do it for all hosts at the same time; raises the first error once all are through."""
        with ThreadPoolExecutor(len(self._sessions)) as pool:
            waits = [pool.submit(act, session) for session in self._sessions]
            errors = [error for wait in waits if (error := wait.exception()) is not None]
        if errors:
            raise next((error for error in errors if not isinstance(error, HarnessError)), errors[0])
        return [wait.result() for wait in waits]

    def close(self) -> None:
        """Bring every host home; never raises."""
        if self._sessions:
            self._each(lambda session: session.close())
