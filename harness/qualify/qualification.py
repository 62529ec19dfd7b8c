"""A qualification: its stages in order, kept in a run as they end, and gone on with where they were cut off."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.fabric.golden import Golden
from harness.inventory.inventory import Inventory
from harness.model.errors import UsageError
from harness.model.settings import Settings
from harness.qualify.checks import Check, StageName, failed_hosts
from harness.qualify.fabric_stage import look_at_fabric
from harness.qualify.ground import Ground, Say, links_of
from harness.qualify.inspect_stage import inspect
from harness.qualify.links_stage import measure_links
from harness.qualify.pressure_stage import press
from harness.qualify.soak_stage import soak
from harness.results.store import RunStore

SECTION = "qualify"  # of the run's manifest

Stage = Callable[[Ground], list[Check]]
STAGES: dict[StageName, Stage] = {
    StageName.INSPECT: inspect,
    StageName.FABRIC: look_at_fabric,
    StageName.LINKS: measure_links,
    StageName.PRESSURE: press,
    StageName.SOAK: soak,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is qualified: hosts of the inventory at `path`, in these stages, with `hours` of soak.

    `golden` is the text of a golden fabric, "" without one.
    """

    path: str
    hosts: tuple[str, ...]
    hours: float
    stages: tuple[StageName, ...]
    golden: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The question as plain JSON values."""
        asked = [name.value for name in self.stages]
        return {
            "inventory": self.path,
            "hosts": list(self.hosts),
            "hours": self.hours,
            "asked": asked,
            "golden": self.golden,
        }

    @classmethod
    def of(cls, store: RunStore) -> Asked:
        """What a run was asked; raises UsageError if it is no qualification."""
        section = store.read_manifest().get(SECTION)
        if not isinstance(section, dict):
            raise UsageError(f"{store.path}: not a run of `harness qualify`")
        return cls(
            path=section["inventory"],
            hosts=tuple(section["hosts"]),
            hours=float(section["hours"]),
            stages=tuple(map(StageName, section["asked"])),
            golden=section["golden"],
        )


def begin(
    results: Path,
    inventory: Inventory,
    names: Sequence[str],
    hours: float,
    facts: Mapping[str, Any],
    stages: Sequence[StageName] = tuple(STAGES),
    golden: str = "",
) -> RunStore:
    """A new run; raises UsageError for a host that is not in the inventory."""
    chosen = tuple(inventory.host(name).name for name in names) or tuple(inventory.hosts)
    asked = Asked(path=str(inventory.path.resolve()), hosts=chosen, hours=hours, stages=tuple(stages), golden=golden)
    return RunStore.create(results, manifest={**facts, SECTION: {**asked.to_dict(), "stages": {}}})


def checks_of(store: RunStore) -> list[Check]:
    """The checks of the stages that have ended."""
    stages = store.read_manifest()[SECTION]["stages"]
    return [Check.from_dict(record) for name in StageName for record in stages.get(name.value, {}).get("checks", ())]


def ended(store: RunStore) -> list[StageName]:
    """The stages that have ended, in their order."""
    stages = store.read_manifest()[SECTION]["stages"]
    return [name for name in StageName if name.value in stages]


def run(store: RunStore, settings: Settings, inventory: Inventory, say: Say) -> list[Check]:
    """Run the stages that are missing; each host that failed the inspection is left out of the rest."""
    asked = Asked.of(store)
    ground = Ground(
        settings=settings,
        store=store,
        hosts=tuple(inventory.host(name) for name in asked.hosts),
        links=links_of(list(inventory.topologies.values()), asked.hosts),
        hours=asked.hours,
        say=say,
        golden=Golden.from_json(asked.golden) if asked.golden else None,
    )
    for name in asked.stages:
        if name not in ended(store):
            say(f"stage {name}: {_about(name, ground)}")
            begun = time.time()
            checks = STAGES[name](ground)
            record = {"checks": [check.to_dict() for check in checks], "seconds": round(time.time() - begun, 1)}
            store.merge_manifest({SECTION: {"stages": {name.value: record}}})
        if name is StageName.INSPECT:
            ground = ground.without(failed_hosts(checks_of(store), StageName.INSPECT))
            if not ground.hosts:
                say("no host passed the inspection, so nothing is measured")
                break
    return checks_of(store)


def _about(name: StageName, ground: Ground) -> str:
    hosts = ", ".join(host.name for host in ground.hosts)
    links = ", ".join(link.name for link in ground.links) or "no links"
    return hosts if name is StageName.INSPECT else f"{hosts}; {links}"
