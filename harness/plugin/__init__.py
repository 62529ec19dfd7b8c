"""The pytest plugin: options, markers, the fixture `trial`, verdicts as outcomes, results and a summary.

pytest loads it in every session of the environment it is installed in. So this file has only cheap imports, and a
session without an inventory only registers the options and markers.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.model.errors import UsageError
from harness.model.observe import Steps
from harness.model.options import Options
from harness.plugin.settings import add_options, read_options

if TYPE_CHECKING:
    from harness.inventory.inventory import Inventory
    from harness.model.observe import Observer
    from harness.model.settings import Settings
    from harness.model.verdict import Verdict
    from harness.plugin.markers import Case
    from harness.plugin.repeat import Repeater
    from harness.plugin.trials import Trial
    from harness.results.store import RunStore
    from harness.trial import Plan

OPTIONS: pytest.StashKey[Options] = pytest.StashKey()
STORE: pytest.StashKey[RunStore] = pytest.StashKey()
CASE: pytest.StashKey[Case] = pytest.StashKey()
REPEATER: pytest.StashKey[Repeater] = pytest.StashKey()

# Keys of messages between the controlling process and xdist workers: the run's folder, a user's mistakes.
RUN_KEY = "harness_run"
USAGE_KEY = "harness_usage"

# Invocations that run no test, and so start no run.
_ONLY_LOOKING = ("help", "collectonly", "markers", "showfixtures", "show_fixtures_per_test", "cacheshow")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the harness."""
    add_options(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Add the hooks of the harness."""
    from harness.plugin import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


@pytest.hookimpl(trylast=True)
def pytest_harness_options(config: pytest.Config) -> Options:
    """The options in force, from the command line, the environment and the ini file."""
    return read_options(config)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """The number of workers for `-n auto` with an inventory, in which guests compute, not Python."""
    options = config.hook.pytest_harness_options(config=config)
    if options.inventory is None:
        return None
    from harness.plugin.workers import auto_workers

    return auto_workers(options)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Run a resumed run with the arguments that it was begun with, if none are given now."""
    given = config.getoption("harness_resume")
    if given is None or hasattr(config, "workerinput") or _only_looking(config):
        return None
    from harness.plugin.resume import run_again

    try:
        return run_again(config.invocation_params.dir / given, config)
    except UsageError as error:
        raise pytest.UsageError(*str(error).splitlines()) from error


@pytest.hookimpl(tryfirst=True)  # before pytest's own JUnit writer asks where to write
def pytest_configure(config: pytest.Config) -> None:
    """Resolve the options; with an inventory, this session is a run and gets a folder."""
    from harness.plugin import marker_specs

    marker_specs.register(config)
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Controller(), "harness-controller")
    try:
        options = config.stash[OPTIONS] = config.hook.pytest_harness_options(config=config)
        _repeat(config, options)
        if hasattr(config, "workerinput"):
            _join_run(config)
        elif options.inventory is not None and not _only_looking(config):
            _begin_run(config, options)
    except UsageError as error:
        raise pytest.UsageError(*str(error).splitlines()) from error


def _repeat(config: pytest.Config, options: Options) -> None:
    if options.repeat is not None:
        from harness.plugin.repeat import Repeater, read_repetition

        repetition = read_repetition(options.repeat, config.invocation_params.dir)
        repeater = config.stash[REPEATER] = Repeater(repetition)
        config.pluginmanager.register(repeater, "harness-repeater")


class _Controller:
    """Plugin of the controlling process, in every session."""

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: object, error: object) -> None:
        """An xdist worker ended: if a user's mistake ended it, end the session too."""
        problems = getattr(node, "workeroutput", {}).get(USAGE_KEY)
        if problems:
            raise pytest.UsageError(*problems)


def _only_looking(config: pytest.Config) -> bool:
    return any(config.getoption(name, default=None) for name in _ONLY_LOOKING)


def _begin_run(config: pytest.Config, options: Options) -> None:
    from harness.plugin.early_stop import Asking, EarlyStop
    from harness.plugin.scheduler import DEFAULT_POLICY, OneAtATime
    from harness.plugin.session import RunSession, open_store

    _inventory(options)  # reports its mistakes before anything is made
    if options.side.kernel is not None:
        from harness.trial.preflight import check_side

        check_side(options.side, options.settings, Steps(lambda line: print(f"harness: {line}", file=sys.stderr)))
    store, notes = open_store(config, options)
    config.stash[STORE] = store
    config.option.xmlpath = config.option.xmlpath or str(store.junit_path)
    if config.getoption("dist", "no") == DEFAULT_POLICY:
        config.pluginmanager.register(OneAtATime(), "harness-scheduler")
    config.pluginmanager.register(RunSession(store, options, RUN_KEY, notes), "harness-run")
    config.pluginmanager.register(EarlyStop(store), "harness-ending")
    config.pluginmanager.register(Asking(store, config), "harness-asking")


def _join_run(config: pytest.Config) -> None:
    from harness.plugin.early_stop import EarlyStop
    from harness.plugin.scheduler import GAP_KEY, Gaps
    from harness.results.run_lock import join
    from harness.results.store import RunStore

    workerinput = getattr(config, "workerinput", {})
    if workerinput.get(GAP_KEY):
        config.pluginmanager.register(Gaps(), "harness-gaps")
    run = workerinput.get(RUN_KEY)
    if run is not None:
        store = config.stash[STORE] = RunStore.open(Path(run))
        config.add_cleanup(join(store.path).close)
        config.pluginmanager.register(EarlyStop(store), "harness-ending")


@pytest.hookimpl(trylast=True)  # deselected tests need no inventory
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Read and check the markers of every selected test, before anything boots."""
    from harness.plugin.marker_specs import is_case

    repeater = config.stash.get(REPEATER, None)
    if repeater is not None:
        _checked(config, repeater.leave_named(config, items))
    cases = [item for item in items if is_case(item)]
    if cases:
        from harness.plugin.selection import select

        _read_cases(config, cases)
        select(config, items, {item: item.stash[CASE] for item in cases}, config.stash[OPTIONS])


def _read_cases(config: pytest.Config, items: Sequence[pytest.Item]) -> None:
    from harness.plugin.markers import read_case

    inventory = cache(partial(_inventory, config.stash[OPTIONS]))
    repeater = config.stash.get(REPEATER, None)
    where: dict[str, str] = {}  # a mistake that many tests share is reported once
    for item in items:
        try:
            case = read_case(item, inventory, config.stash[OPTIONS].side)
            item.stash[CASE] = case if repeater is None else repeater.adapted(item, case)
        except UsageError as error:
            for line in str(error).splitlines():
                where.setdefault(line, item.nodeid)
    _checked(config, [f"{nodeid}: {line}" for line, nodeid in where.items()])


def _checked(config: pytest.Config, problems: Sequence[str]) -> None:
    """End the session if a user's mistakes were found at collection."""
    if problems:
        # xdist reports a worker that ends like this as an internal error; the controller reports the mistake itself.
        getattr(config, "workeroutput", {})[USAGE_KEY] = list(problems)
        raise pytest.UsageError(*problems)


def _inventory(options: Options) -> Inventory:
    from harness.providers import read_inventory

    if options.inventory is None:
        raise UsageError("no inventory; name one with --harness-inventory, HARNESS_INVENTORY or harness_inventory")
    return read_inventory(options.inventory)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test if this machine lacks one of its requirements."""
    case = item.stash.get(CASE, None)
    if case is not None and case.features:
        from harness.plugin.features import missing

        reason = missing(case.features)
        if reason is not None:
            pytest.skip(reason)


@pytest.fixture
def trial(request: pytest.FixtureRequest) -> Trial:
    """One trial on the hosts of the test's topology; see `harness.plugin.trials.Trial`."""
    from harness.plugin.live.screen import open_view
    from harness.plugin.trials import Trial

    item, config = request.node, request.config
    case, options = item.stash[CASE], config.stash[OPTIONS]
    return Trial(
        item=item,
        topology=case.topology,
        expected=case.expected,
        settings=options.settings,
        store=config.stash[STORE].of(case.entry),
        resumed=options.resume is not None,
        view=open_view(config, options.live, item.nodeid),
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a verdict into an outcome."""
    report = yield
    case = item.stash.get(CASE, None)
    if case is not None:
        from harness.plugin.outcomes import judge

        judge(item, call, report, case.expected)
    return report


@pytest.hookimpl(trylast=True)
def pytest_harness_run_trial(plan: Plan, settings: Settings, store: RunStore, observers: Sequence[Observer]) -> Verdict:
    """Run the trial on the guests of its topology; any other implementation takes precedence."""
    from harness.trial import run_trial

    return run_trial(plan, settings=settings, store=store, observers=observers)
