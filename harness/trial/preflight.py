"""Checks before anything boots: whether hosts and their kernels can run the plan."""

from __future__ import annotations

from collections.abc import Mapping

from harness.inventory.values import is_kernel_file
from harness.model.observe import Progress
from harness.model.overrides import MachineOverrides
from harness.model.settings import Settings
from harness.model.topology import Host, Topology
from harness.providers import provider_of
from harness.site.capabilities import requirements
from harness.site.needs import needs_of, together
from harness.site.provider import HostNeeds
from harness.trial.plan import Plan


def kernel_needs(plan: Plan) -> Mapping[str, tuple[str, ...]]:
    """By host: names of modules and options. A role missing from the topology is reported by its user, not here."""
    topology = plan.topology
    by_role = together(*(needs_of(part, topology) for part in plan.parts))
    by_host = ({topology.roles[role]: names} for role, names in by_role.items() if role in topology.roles)
    return together(*by_host)


def host_needs(plan: Plan) -> HostNeeds:
    """All requirements of a plan on its hosts."""
    return HostNeeds(
        kernel=kernel_needs(plan),
        programs=program_needs(plan),
        capabilities=requirements(plan.parts, plan.topology),
    )


def program_needs(plan: Plan) -> Mapping[str, tuple[str, ...]]:
    """By host: programs that its part in the storage needs. An image of guests has all of them."""
    protocol = plan.storage.protocol
    if protocol is None:
        return {}
    by_host = []
    for client, servers in plan.storage.served_by(plan.topology).items():
        by_host.append({client: protocol.client_programs})
        by_host += [{server: protocol.server_programs} for server in servers]
    return together(*by_host)


def check_side(side: MachineOverrides, settings: Settings, progress: Progress) -> None:
    """Check that the user's own kernel for all trials has what every guest needs.

    Done once for all trials; further needs of a case are checked before it. Raises UsageError that lists everything
    missing.
    """
    if side.kernel is not None and is_kernel_file(side.kernel):
        host = Host(name="any", memory=0, kernel=side.kernel, modules_from=side.modules or "")
        topology = Topology(name="any", hosts=(host,))
        provider_of(settings, topology).check(topology, HostNeeds(), progress)
