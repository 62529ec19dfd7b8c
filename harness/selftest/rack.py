"""The self-test on hosts of an inventory, in place of the guests that its kinds describe."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from harness.inventory.inventory import Inventory
from harness.model.errors import UsageError
from harness.model.observe import Progress
from harness.model.settings import Settings
from harness.model.topology import Host
from harness.providers import provider_of, read_inventory
from harness.selftest.truth import Truth
from harness.site.needs import scratch_roles
from harness.trial.plan import Plan
from harness.trial.preflight import host_needs

SINGLE, PAIR = "single", "pair"  # topologies of the inventory, for kinds of one host and of several


@dataclass(frozen=True, slots=True, kw_only=True)
class Rack:
    """The topologies `single` and `pair` of the inventory at `path`; one that is missing rules its kinds out."""

    path: Path
    inventory: Inventory

    @classmethod
    def read(cls, path: Path) -> Rack:
        """Read and check the inventory; raises UsageError."""
        return cls(path=path, inventory=read_inventory(path))

    def put(self, plan: Plan) -> Plan:
        """The plan on hosts of this inventory, with the modules that it replaces; raises UsageError."""
        wanted = plan.topology
        found = self.inventory.topology(PAIR if len(wanted.hosts) > 1 else SINGLE)
        if missing := wanted.roles.keys() - found.roles.keys():
            raise UsageError(f"{self.path}: topology {found.name!r} has no role {', '.join(sorted(missing))}")
        extra = {found.roles[role]: wanted.host(name).modules for role, name in wanted.roles.items()}
        hosts = tuple(replace(host, modules=(*host.modules, *extra.get(host.name, ()))) for host in found.hosts)
        return replace(plan, topology=replace(found, hosts=hosts))

    def left_out(self, truths: Iterable[Truth], settings: Settings, progress: Progress) -> dict[str, str]:
        """By name of the kind, in one line, why its hosts cannot run it; kinds that can be run are not in it."""
        found = {truth.name: self._against(truth.plan(Random(0)), settings, progress) for truth in truths}
        return {name: reason for name, reason in found.items() if reason}

    def _against(self, wanted: Plan, settings: Settings, progress: Progress) -> str:
        try:
            plan = self.put(wanted)
            provider_of(settings, plan.topology).check(plan.topology, host_needs(plan), progress)
        except UsageError as error:
            return "; ".join(str(error).splitlines())
        return _lacks_scratch(plan)


def _lacks_scratch(plan: Plan) -> str:
    for role in scratch_roles(plan.storage):
        host = plan.topology.host(plan.topology.roles[role])
        if not _has_scratch(host):
            return f"host {host.name} has no scratch disk; name one in the inventory"
    return ""


def _has_scratch(host: Host) -> bool:
    return bool(host.scratch if host.owned is None else host.owned.scratch)
