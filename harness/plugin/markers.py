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
from typing import TypeVar

import pytest

from harness.model.errors import UsageError
from harness.model.topology import MIB, Host, Topology
from harness.model.verdict import REPRODUCIBLE
from harness.plugin.features import FEATURES
from harness.plugin.forms import FORMS, runs_trial
from harness.results.store import SURVIVES
from harness.targets import relations, schema
from harness.targets.inventory import Inventory, require_role
from harness.targets.modules import read_variant
from harness.targets.problems import nearest, place, shown
from harness.targets.sizes import parse_size

T = TypeVar("T")
ByRole = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What the markers of one test say; `topology` has the test's own changes applied."""

    topology: Topology | None
    expected: str = SURVIVES
    features: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TopologyMark:
    """The arguments of a `topology` marker."""

    name: str
    modules: ByRole
    memory: ByRole
    kernel: ByRole


def read_case(item: pytest.Item, inventory: Callable[[], Inventory]) -> Case:
    """The case that the markers of `item` describe; raises UsageError that names the marker."""
    mark = item.get_closest_marker("topology")
    if mark is None and runs_trial(item):
        raise UsageError('the fixture trial needs a topology; add @pytest.mark.topology("name")')
    return Case(
        topology=None if mark is None else _topology(_bound(_topology_mark, mark), item, inventory()),
        expected=_expected(item),
        features=_features(item),
    )


def _bound(reader: Callable[..., T], mark: pytest.Mark) -> T:
    try:
        return reader(*mark.args, **mark.kwargs)
    except TypeError as error:
        reason = str(error).removeprefix(f"{reader.__name__}() ")
        raise UsageError(f"marker {mark.name}: {reason}; its form is {FORMS[mark.name]}") from error


def _topology_mark(
    name: str, *, modules: ByRole | None = None, memory: ByRole | None = None, kernel: ByRole | None = None
) -> TopologyMark:
    if not isinstance(name, str):
        raise TypeError(f"the name must be a string, not {shown(name)}")
    changes = {"modules": modules or {}, "memory": memory or {}, "kernel": kernel or {}}
    for key, change in changes.items():
        if not isinstance(change, Mapping):
            raise TypeError(f"{key} must be a dictionary by role, not {shown(change)}")
    return TopologyMark(name=name, **changes)


def _reproduces_mark(word: str) -> str:
    if word not in REPRODUCIBLE:
        hint = nearest(str(word), list(REPRODUCIBLE), plural="words")
        words = ", ".join(REPRODUCIBLE)
        raise UsageError(f"marker reproduces: {shown(word)} is none of {words}; {hint}")
    return word


def _requires_mark(*features: str) -> tuple[str, ...]:
    for feature in features:
        if feature not in FEATURES:
            hint = nearest(str(feature), list(FEATURES), plural="features")
            raise UsageError(f"marker requires: unknown feature {shown(feature)}; {hint}")
    return features


def _expected(item: pytest.Item) -> str:
    mark = item.get_closest_marker("reproduces")
    return SURVIVES if mark is None else _bound(_reproduces_mark, mark)


def _features(item: pytest.Item) -> tuple[str, ...]:
    return tuple(name for mark in item.iter_markers("requires") for name in _bound(_requires_mark, mark))


def _topology(mark: TopologyMark, item: pytest.Item, inventory: Inventory) -> Topology:
    topology = inventory.topology(mark.name)
    changes = _by_host(mark, topology)
    folder = item.path.parent
    _check(topology, changes, folder)
    hosts = tuple(_changed(host, changes.get(host.name, {}), folder) for host in topology.hosts)
    for module in (module for host in hosts for module in host.modules if not schema.is_module_file(module)):
        read_variant(module)
    return replace(topology, hosts=hosts)


def _by_host(mark: TopologyMark, topology: Topology) -> dict[str, dict[str, object]]:
    changes: dict[str, dict[str, object]] = {}
    for key in ("modules", "memory", "kernel"):
        for role, value in getattr(mark, key).items():
            try:
                host = require_role(topology, role)
            except UsageError as error:
                raise UsageError(f"marker topology: {key}: {error}") from error
            changes.setdefault(host.name, {})[key] = list(value) if isinstance(value, tuple) else value
    return changes


def _check(topology: Topology, changes: Mapping[str, Mapping[str, object]], folder: Path) -> None:
    """Hold the changed values to the rules of an inventory; `folder` is where relative paths start."""
    hosts = [
        {"name": host.name, "memory": f"{host.memory // MIB} MiB", **changes.get(host.name, {})}
        for host in topology.hosts
    ]
    document = {"host": hosts, "topology": [{"name": topology.name, "roles": dict(topology.roles)}]}
    tables = schema.parse(document)
    problems = tables if isinstance(tables, list) else []
    problems += relations.check(document, folder=folder, machine_memory=machine_memory())
    for problem in problems:
        where = place(problem.loc, document)
        raise UsageError(f"marker topology: {where}: {problem.problem}; {problem.hint}")


def _changed(host: Host, changes: Mapping[str, object], folder: Path) -> Host:
    modules, kernel, memory = (changes.get(key) for key in ("modules", "kernel", "memory"))
    if isinstance(modules, list):
        host = replace(host, modules=tuple(_resolved(m, schema.is_module_file(m), folder) for m in modules))
    if isinstance(kernel, str):
        host = replace(host, kernel=_resolved(kernel, schema.is_kernel_file(kernel), folder))
    return replace(host, memory=parse_size(memory)) if isinstance(memory, str) else host


def _resolved(name: str, is_file: bool, folder: Path) -> str:
    return str(folder / name) if is_file else name


def machine_memory() -> int:
    """Bytes of memory of this machine."""
    import psutil

    return psutil.virtual_memory().total
