"""The provider of guests: leases their memory, finds what they boot from, brings them up, and cleans up dead runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import ClassVar

import psutil

from harness.drivers.libvirt.connection import libvirt_module
from harness.guests import lease
from harness.guests.accelerator import known_accelerator
from harness.guests.boot_spec import Machine, machines_for
from harness.guests.guest import offers
from harness.guests.identity import MANAGEMENT_NETWORK
from harness.guests.lab import Lab
from harness.guests.owed import PROVIDER, meet_owed
from harness.guests.owners_switch import check_switches, switches_held
from harness.kernels.host_kernels import kernels_for
from harness.kernels.kernel_checks import source_version
from harness.kernels.kernels import Kernel
from harness.kernels.module_set import module_name
from harness.model.obligation import Obligation
from harness.model.observe import Progress
from harness.model.settings import Settings
from harness.model.topology import Topology
from harness.site.capabilities import check_offers
from harness.site.own_speed import own_speed
from harness.site.provider import HostNeeds, Listener, Prepared, PreparedHost
from harness.site.target import Site
from harness.state.state import StateDir

# Under emulation a guest's processor is a thread that computes all the time; benchmarks/throughput.py has the figures.
EMULATED = 1  # trials for each processor of this machine
NATIVE = 2


@dataclass(frozen=True, slots=True)
class PreparedGuests:
    """What guests boot from, by their names; see `site.provider.Prepared`."""

    machines: Mapping[str, Machine]

    @property
    def hosts(self) -> dict[str, PreparedHost]:
        """See `Prepared.hosts`."""
        return {name: _as_prepared(machine) for name, machine in self.machines.items()}


def _as_prepared(machine: Machine) -> PreparedHost:
    kernel = machine.kernel
    return PreparedHost(
        kernel=kernel.release,
        modules={module_name(path): source_version(file) for path, file in machine.modules.items()},
        facts={
            "kernel": kernel.release,
            "kernel_from": kernel.name,
            "kernel_package": kernel.version,
            "kernel_digest": kernel.digest,
            "image_digest": machine.image.digest,
            "modules": {path: file.name for path, file in machine.modules.items()},
            "accelerator": machine.accelerator,
        },
    )


class GuestProvider:
    """Brings hosts up as guests of this machine; see `site.provider.Provider` for what each method promises."""

    name = PROVIDER
    # The network of every guest's first card: an overlapping link would be indistinguishable from it.
    reserved: ClassVar[Mapping[IPv4Network, str]] = {MANAGEMENT_NETWORK: "the guests' management network"}

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def check(self, topology: Topology, needs: HostNeeds, progress: Progress) -> None:
        """See `Provider.check`; a kernel is looked into, which may have to be fetched for that."""
        self._checked(topology, needs, progress)

    def prepare(self, topology: Topology, needs: HostNeeds, progress: Progress) -> PreparedGuests:
        """See `Provider.prepare`."""
        kernels = self._checked(topology, needs, progress)
        return PreparedGuests(machines_for(self._settings, topology.hosts, kernels, progress))

    def _checked(self, topology: Topology, needs: HostNeeds, progress: Progress) -> dict[str, Kernel]:
        """The kernel of each host, after checking that guests can meet the needs."""
        check_offers(needs.capabilities, {host.name: offers(host) for host in topology.hosts})
        check_switches(topology)
        return kernels_for(self._settings, topology.hosts, progress, needs.kernel)

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
        """See `Provider.provide`; guests wait for a switch of their owner's, then for memory."""
        assert isinstance(prepared, PreparedGuests), "what another provider prepared"
        with (
            switches_held(topology, StateDir.of(self._settings), purpose, on_wait),
            lease.lease_for(topology, self._settings, purpose=purpose, on_wait=on_wait),
        ):
            libvirt_module()  # this and the next run once per process, and are not part of bringing guests up
            own_speed()
            on_begin()
            lab = Lab(self._settings, prepared.machines, listener=listener, console_path=console_path, notes=notes)
            try:
                yield lab.start(topology)
            finally:
                lab.close()

    def reap(self, obligation: Obligation) -> list[str]:
        """See `Provider.reap`."""
        return meet_owed(obligation)

    def tidy(self) -> list[str]:
        """See `Provider.tidy`."""
        return lease.remove_dead(StateDir.of(self._settings))

    def fit(self, topologies: Collection[Topology]) -> int:
        """See `Provider.fit`: as many as processors and memory allow."""
        processors = len(psutil.Process().cpu_affinity()) or 1
        by_processor = processors * (NATIVE if known_accelerator(self._settings) == "kvm" else EMULATED)
        largest = max(map(lease.memory_of, topologies), default=0)
        if not largest:
            return by_processor
        by_memory = int(psutil.virtual_memory().available * lease.SHARE_FOR_GUESTS / largest)
        return max(1, min(by_processor, by_memory))
