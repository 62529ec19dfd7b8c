"""Whether hosts and their kernels can carry out what is asked of them, told before anything boots."""

from __future__ import annotations

from collections.abc import Mapping

from harness.inventory.schema import is_kernel_file
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
    """By host: names of modules and options; a role that the topology does not have is left to whoever uses it."""
    topology = plan.topology
    by_role = together(*(needs_of(part, topology) for part in plan.parts))
    by_host = ({topology.roles[role]: names} for role, names in by_role.items() if role in topology.roles)
    return together(*by_host)


def host_needs(plan: Plan) -> HostNeeds:
    """All that a plan needs of its hosts."""
    return HostNeeds(kernel=kernel_needs(plan), capabilities=requirements(plan.parts, plan.topology))


def check_side(side: MachineOverrides, settings: Settings, progress: Progress) -> None:
    """Whether the kernel of the user's own that every trial is to run on has what every guest needs.

    Said once for all of them; what a case needs besides is looked for before each. Raises UsageError with all that is
    missing.
    """
    if side.kernel is not None and is_kernel_file(side.kernel):
        host = Host(name="any", memory=0, kernel=side.kernel, modules_from=side.modules or "")
        topology = Topology(name="any", hosts=(host,))
        provider_of(settings, topology).check(topology, HostNeeds(), progress)
