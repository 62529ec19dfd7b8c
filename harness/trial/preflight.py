"""What all parts of a plan need of the kernels of its hosts."""

from __future__ import annotations

from collections.abc import Mapping

from harness.targets.needs import needs_of, together
from harness.trial.plan import Plan


def kernel_needs(plan: Plan) -> Mapping[str, tuple[str, ...]]:
    """By host: names of modules and options; a role that the topology does not have is left to whoever uses it."""
    topology = plan.topology
    parts = (plan.storage, plan.workload, *plan.faults, *plan.tunings, *plan.instruments)
    by_role = together(*(needs_of(part, topology) for part in parts))
    by_host = ({topology.roles[role]: names} for role, names in by_role.items() if role in topology.roles)
    return together(*by_host)
