"""The markers of a test case, read and checked before anything boots.

    @pytest.mark.topology("pair", modules={"client": ["nbd-no-memalloc"]}, memory={"client": "256M"})
    @pytest.mark.reproduces("deadlock")
    @pytest.mark.requires("vde")
    def test_swap_on_nbd(trial): ...

Changes go by role; relative paths of modules and kernels count from the folder of the test file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from harness.inventory import cross_checks, schema
from harness.inventory import values as inventory_values
from harness.inventory.diagnostics import nearest, place, shown
from harness.inventory.inventory import Inventory, require_role
from harness.kernels.module_variants import read_variant
from harness.model.errors import UsageError
from harness.model.options import NIGHTLY, PROFILES
from harness.model.overrides import STOCK, MachineOverrides
from harness.model.sizes import parse_size
from harness.model.topology import MIB, Host, Topology
from harness.model.verdict import OR, REPRODUCIBLE
from harness.plugin.features import FEATURES
from harness.plugin.marker_specs import FORMS, runs_trial
from harness.results.store import PLAIN, SURVIVES, Entry

T = TypeVar("T")
ByRole = Mapping[str, object]
CHANGES = ("modules", "memory", "kernel", "cpus", "cmdline", "scratch")
SIZES = {"memory", "scratch"}
ANY_MIB = 1024  # stands for the memory of a machine, which no inventory says


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """The contents of one test's markers; `topology` has the test's changes applied."""

    topology: Topology | None
    expected: str = SURVIVES
    features: tuple[str, ...] = ()
    minutes: float = 0.0
    profile: str = NIGHTLY
    entry: Entry = PLAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class TopologyMark:
    """The arguments of a `topology` marker."""

    name: str
    changes: Mapping[str, ByRole]


def read_case(item: pytest.Item, inventory: Callable[[], Inventory], side: MachineOverrides = STOCK) -> Case:
    """The case that the markers of `item` describe, with the overrides of `side`; raises UsageError."""
    mark = item.get_closest_marker("topology")
    if mark is None and runs_trial(item):
        raise UsageError('the fixture trial needs a topology; add @pytest.mark.topology("name")')
    return Case(
        topology=None if mark is None else side.apply(_topology(_bound(_topology_mark, mark), item, inventory())),
        expected=_expected(item),
        features=_features(item),
        minutes=_marked(item, "cost", _cost_mark, 0.0),
        profile=_marked(item, "profile", _profile_mark, NIGHTLY),
    )


def _bound(reader: Callable[..., T], mark: pytest.Mark) -> T:
    try:
        return reader(*mark.args, **mark.kwargs)
    except TypeError as error:
        reason = str(error).removeprefix(f"{reader.__name__}() ")
        raise UsageError(f"marker {mark.name}: {reason}; its form is {FORMS[mark.name]}") from error


def _topology_mark(name: str, **changes: ByRole) -> TopologyMark:
    if not isinstance(name, str):
        raise TypeError(f"the name must be a string, not {shown(name)}")
    unknown = next((key for key in changes if key not in CHANGES), None)
    if unknown is not None:
        raise TypeError(f"got an unexpected keyword argument '{unknown}'")
    for key, change in changes.items():
        if not isinstance(change, Mapping):
            raise TypeError(f"{key} must be a dictionary by role, not {shown(change)}")
    return TopologyMark(name=name, changes=changes)


def _reproduces_mark(word: str, *others: str) -> str:
    for one in (word, *others):
        if one not in REPRODUCIBLE:
            hint = nearest(str(one), list(REPRODUCIBLE), plural="words")
            words = ", ".join(REPRODUCIBLE)
            raise UsageError(f"marker reproduces: {shown(one)} is none of {words}; {hint}")
    return OR.join((word, *others))


def _requires_mark(*features: str) -> tuple[str, ...]:
    for feature in features:
        if feature not in FEATURES:
            hint = nearest(str(feature), list(FEATURES), plural="features")
            raise UsageError(f"marker requires: unknown feature {shown(feature)}; {hint}")
    return features


def _cost_mark(minutes: float) -> float:
    if isinstance(minutes, bool) or not isinstance(minutes, int | float) or minutes <= 0:
        raise UsageError(f"marker cost: {shown(minutes)} is no number of minutes; write how long one row takes")
    return float(minutes)


def _profile_mark(name: str) -> str:
    if name not in PROFILES:
        hint = nearest(str(name), list(PROFILES), plural="profiles")
        raise UsageError(f"marker profile: unknown profile {shown(name)}; {hint}")
    return name


def _marked(item: pytest.Item, name: str, reader: Callable[..., T], default: T) -> T:
    mark = item.get_closest_marker(name)
    return default if mark is None else _bound(reader, mark)


def _expected(item: pytest.Item) -> str:
    return _marked(item, "reproduces", _reproduces_mark, SURVIVES)


def _features(item: pytest.Item) -> tuple[str, ...]:
    return tuple(name for mark in item.iter_markers("requires") for name in _bound(_requires_mark, mark))


def _topology(mark: TopologyMark, item: pytest.Item, inventory: Inventory) -> Topology:
    topology = inventory.topology(mark.name)
    changes = _by_host(mark, topology)
    folder = item.path.parent
    _check(topology, changes, folder)
    hosts = tuple(_changed(host, changes.get(host.name, {}), folder) for host in topology.hosts)
    for module in (module for host in hosts for module in host.modules if not inventory_values.is_module_file(module)):
        read_variant(module)
    return replace(topology, hosts=hosts)


def _by_host(mark: TopologyMark, topology: Topology) -> dict[str, dict[str, object]]:
    changes: dict[str, dict[str, object]] = {}
    for key, by_role in mark.changes.items():
        for role, value in by_role.items():
            try:
                host = require_role(topology, role)
            except UsageError as error:
                raise UsageError(f"marker topology: {key}: {error}") from error
            changes.setdefault(host.name, {})[key] = list(value) if isinstance(value, tuple) else value
    return changes


def _check(topology: Topology, changes: Mapping[str, Mapping[str, object]], folder: Path) -> None:
    """Check the changed values by the rules of an inventory; relative paths start in `folder`."""
    from harness.providers import limits

    hosts = [
        {"name": host.name, "memory": f"{host.memory // MIB or ANY_MIB} MiB", **changes.get(host.name, {})}
        for host in topology.hosts
    ]
    document = {"host": hosts, "topology": [{"name": topology.name, "roles": dict(topology.roles)}]}
    tables = schema.parse(document)
    problems = tables if isinstance(tables, list) else []
    problems += cross_checks.check(document, folder=folder, limits=limits())
    for problem in problems:
        where = place(problem.loc, document)
        raise UsageError(f"marker topology: {where}: {problem.problem}; {problem.hint}")


def _changed(host: Host, changes: Mapping[str, Any], folder: Path) -> Host:
    # A machine has the sizes that it has.
    values = {key: value for key, value in changes.items() if host.owned is None or key not in (*SIZES, "cpus")}
    for key in SIZES & values.keys():
        values[key] = parse_size(values[key])
    if "modules" in values:
        values["modules"] = tuple(_resolved(m, inventory_values.is_module_file(m), folder) for m in values["modules"])
    if "kernel" in values:
        values["kernel"] = _resolved(values["kernel"], inventory_values.is_kernel_file(values["kernel"]), folder)
    return replace(host, **values)


def _resolved(name: str, is_file: bool, folder: Path) -> str:
    return str(folder / name) if is_file else name
