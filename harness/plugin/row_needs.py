"""What the rows of cases need of their hosts: a session of pytest in which every trial ends before it begins.

So cases are collected, parametrized and built as in any run. Its folders are its own: it finds nothing of other runs.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from harness.model.errors import UsageError
from harness.model.options import SOAK, Options
from harness.physical.fitness import Part, Row
from harness.plugin.invoke import PLUGIN
from harness.plugin.marker_specs import runs_trial
from harness.site.needs import scratch_roles
from harness.trial.plan import Plan
from harness.trial.preflight import host_needs

_QUIET = ("-q", "-n0", "-p", "no:cacheprovider", "--harness-live=off", f"--harness-profile={SOAK}")


def rows_of(paths: Sequence[str], inventory: Path) -> list[Row]:
    """The rows of the cases in `paths`, with their needs.

    Their topologies are those of the inventory that the ini file of the cases names, else of `inventory`: the hosts
    there only stand for roles. Raises UsageError if cases cannot be collected.
    """
    with tempfile.TemporaryDirectory(prefix="harness-rows-") as folder, contextlib.redirect_stdout(io.StringIO()):
        noting = _Noting(inventory, Path(folder))
        pytest.main([*PLUGIN, *_QUIET, *paths], plugins=[noting])
    if noting.problem:
        raise UsageError(noting.problem)
    if not noting.rows:
        raise UsageError(f"{' '.join(paths)}: no test case there; name files, folders or node ids")
    return list(noting.rows.values())


class _Noting:
    """Notes the needs of every plan, and ends its trial."""

    def __init__(self, inventory: Path, folder: Path) -> None:
        self._inventory, self._folder = inventory, folder
        self.rows: dict[str, Row] = {}
        self.problem = ""
        self._own_kernel: dict[str, frozenset[str]] = {}

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_cmdline_main(self) -> Generator[None, int, int]:
        try:
            return (yield)
        except pytest.UsageError as error:
            self._report("; ".join(map(str, error.args)))
            return pytest.ExitCode.USAGE_ERROR

    @pytest.hookimpl(wrapper=True)
    def pytest_harness_options(self, config: pytest.Config) -> Generator[None, Options, Options]:
        options = yield
        named = str(config.getini("harness_inventory"))
        base = config.rootpath if config.inipath is None else config.inipath.parent
        inventory = base / Path(named).expanduser() if named else self._inventory
        own = self._folder
        settings = replace(options.settings, state=own / "state", results=own / "results", leases=own / "leases")
        return replace(options, inventory=inventory, settings=settings)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._report(f"{report.nodeid}: cannot be collected: {_last_line(report.longreprtext)}")

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if runs_trial(item)]
        for item in items:
            mark = item.get_closest_marker("topology")
            self._own_kernel[item.nodeid] = frozenset(mark.kwargs.get("kernel", ()) if mark is not None else ())

    @pytest.hookimpl(tryfirst=True)
    def pytest_harness_run_trial(self, plan: Plan) -> None:
        self.rows[plan.name] = Row(name=plan.name, parts=_parts(plan, self._own_kernel[plan.name]))
        pytest.skip("only its needs were wanted")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.nodeid not in self.rows and (report.skipped or report.failed):
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else _last_line(report.longreprtext)
            self.rows[report.nodeid] = Row(name=report.nodeid, unknown=reason.removeprefix("Skipped: "))

    def _report(self, problem: str) -> None:
        self.problem = self.problem or problem.partition("\n")[0]


def _last_line(text: str) -> str:
    """The line of a traceback that says what went wrong."""
    errors = [line.removeprefix("E").strip() for line in text.splitlines() if line.startswith("E ")]
    return errors[-1] if errors else (text.strip().splitlines() or ["no reason given"])[-1]


def _parts(plan: Plan, own_kernel: frozenset[str]) -> tuple[Part, ...]:
    topology, needs = plan.topology, host_needs(plan)
    on_scratch = scratch_roles(plan.storage)
    parts = []
    for host in topology.hosts:
        roles = tuple(role for role, name in topology.roles.items() if name == host.name)
        parts.append(
            Part(
                roles=roles,
                capabilities=tuple(
                    dict.fromkeys(need.capability for need in needs.capabilities if need.host == host.name)
                ),
                programs=needs.programs.get(host.name, ()),
                modules=needs.kernel.get(host.name, ()),
                links=sum(host.name in link.hosts for link in topology.links),
                scratch=bool(on_scratch & set(roles)),
                shared_disk=topology.shared_disk is not None and host.name in topology.shared_disk.hosts,
                own_kernel=bool(own_kernel & set(roles)),
                own_modules=bool(host.modules or host.patches),
            )
        )
    return tuple(parts)
