"""`--harness-repeat FILE`: one session that runs each case many times, on several sides, in a given order.

    {"sides": {"a": "stock", "b": "module=./nbd.ko"}, "trials": [["a", 1], ["b", 1], ["b", 2], ["a", 2]]}

Every selected case becomes one test for each of `trials`, in that order: `test_x.py::test_y[a-1]`, or after its own
parameters, `[x4-a-1]`. The comparison judges the trials: a test passes with any verdict about the kernel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from harness.model.errors import InfraError, UsageError
from harness.model.overrides import MachineOverrides, parse_overrides
from harness.plugin.invoke import PLUGIN, pytest_arguments, run_pytest
from harness.plugin.marker_specs import runs_trial
from harness.plugin.markers import Case
from harness.plugin.subprocess_session import run_child
from harness.results.files import DamagedResult, disk_errors, read_json, write_json
from harness.results.store import ANYTHING, MANIFEST, Entry, RunStore, TrialStore

PARAMETER = "harness_entry"
ONE = "one"  # the side of `run_one`
_MISTAKES = (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.NO_TESTS_COLLECTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repetition:
    """The content of a `--harness-repeat` file: the sides by name, and (side, number) of each trial."""

    sides: Mapping[str, MachineOverrides]
    trials: tuple[tuple[str, int], ...]


def read_repetition(path: Path, base: Path) -> Repetition:
    """The content of `path`; relative paths in it count from `base`. Raises UsageError."""
    try:
        record = read_json(path)
        texts = {str(name): str(text) for name, text in record["sides"].items()}
        trials = tuple((str(side), int(number)) for side, number in record["trials"])
    except FileNotFoundError as error:
        raise UsageError(f"--harness-repeat: {path}: there is no such file") from error
    except (DamagedResult, KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f'--harness-repeat: {path}: not {{"sides": {{…}}, "trials": [[side, number], …]}}') from error
    unknown = next((side for side, _ in trials if side not in texts), None)
    if unknown is not None or len(set(trials)) < len(trials):
        problem = "a trial is in it twice" if unknown is None else f"a trial is on side '{unknown}', which it lacks"
        raise UsageError(f"--harness-repeat: {path}: {problem}")
    sides = {name: parse_overrides(text, base=base, place=f"side {name}") for name, text in texts.items()}
    return Repetition(sides=sides, trials=trials)


class Repeater:
    """Plugin of every process of a session with `--harness-repeat`."""

    def __init__(self, repetition: Repetition) -> None:
        self._repetition = repetition
        self._wanted: dict[tuple[Path, str], str] = {}  # arguments as the user wrote them, by file and names below it

    def adapted(self, item: pytest.Item, case: Case) -> Case:
        """`case` for the trial `item`: with its side's overrides, any verdict expected."""
        place = _place(item)
        if place is None:
            return case
        side, number = place
        topology = case.topology and self._repetition.sides[side].apply(case.topology)
        entry = Entry(side=side, number=number, case=_case_name(item.nodeid, side, number))
        return replace(case, topology=topology, expected=ANYTHING, entry=entry)

    @pytest.hookimpl(trylast=True)  # after the case's own parameters
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Make a test of each trial of a case."""
        if runs_trial(metafunc.definition):
            metafunc.fixturenames.append(PARAMETER)
            trials = self._repetition.trials
            metafunc.parametrize(PARAMETER, trials, ids=[f"{side}-{number}" for side, number in trials])

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> None:
        """Collect all rows of a function of which one is named: pytest does not know the row names here."""
        config = session.config
        for index, argument in enumerate(config.args):
            path, separator, names = argument.partition("::")
            function, bracket, _ = names.partition("[")
            if separator and bracket:
                self._wanted[(config.invocation_params.dir / path).resolve(), names] = argument
                config.args[index] = f"{path}::{function}"
        config.args[:] = dict.fromkeys(config.args)

    def leave_named(self, config: pytest.Config, items: list[pytest.Item]) -> list[str]:
        """Keep only the named rows of functions with named rows; returns a line for each row not found."""
        if not self._wanted:
            return []
        functions = {(path, names.partition("[")[0]) for path, names in self._wanted}
        found = {item: _row(item) for item in items}
        keep = {
            item: (path, names) in self._wanted or (path, names.partition("[")[0]) not in functions
            for item, (path, names) in found.items()
        }
        out = [item for item in items if not keep[item]]
        items[:] = [item for item in items if keep[item]]
        if out:
            config.hook.pytest_deselected(items=out)
        rows = set(found.values())
        return [f"not found: {argument}" for key, argument in self._wanted.items() if key not in rows]


def _place(item: pytest.Item) -> tuple[str, int] | None:
    """Side and number of the trial `item`, or None for a test that runs none."""
    callspec = getattr(item, "callspec", None)
    return None if callspec is None else callspec.params.get(PARAMETER)


def _row(item: pytest.Item) -> tuple[Path, str]:
    """The case of the trial `item`: its file and the names below it."""
    place = _place(item)
    name = item.nodeid if place is None else _case_name(item.nodeid, *place)
    return item.path.resolve(), name.partition("::")[2]


def _case_name(nodeid: str, side: str, number: int) -> str:
    alone = nodeid.removesuffix(f"[{side}-{number}]")
    return alone if alone != nodeid else nodeid.removesuffix(f"-{side}-{number}]") + "]"


def run_session(
    cases: Sequence[str],
    *,
    sides: Mapping[str, str],
    trials: Sequence[tuple[str, int]],
    given_options: Mapping[str, str | None],
    workers: str | None,
    run_folder: Path,
    plugins: Sequence[object] = (),
) -> int:
    """Run `trials` (side, number) of each case in this process; exit codes as of `invoke.run_pytest`.

    `sides` are texts that `parse_overrides` reads. If `run_folder` is a run already, it is resumed: finished trials
    are not run again, but `plugins` see them as if they were. `workers` is the value of `-n`.
    """
    resumed = (run_folder / MANIFEST).is_file()
    file = _write_repetition(run_folder, sides, trials)
    parallel = [] if workers is None else ["-n", workers]
    folder = f"--harness-{'resume' if resumed else 'run'}={run_folder}"
    options = [*pytest_arguments(given_options), f"--harness-repeat={file}", folder]
    return run_pytest([*PLUGIN, *parallel, *options, *cases], plugins=plugins)


def run_one(case: str, *, side_text: str, given_options: Mapping[str, str | None], run_folder: Path) -> TrialStore:
    """Run one more trial of `case` in a separate process, into `run_folder`, and return its store.

    The trial is INCONCLUSIVE if its guests did not boot. Raises UsageError or InfraError if there is no trial; the
    output of the process is in `sessions.log` of that folder.
    """
    store = RunStore(run_folder)
    number = 1 + max((trial.number for trial in store.trials() if trial.side == ONE), default=0)
    file = _write_repetition(run_folder, {ONE: side_text}, [(ONE, number)])
    options = [*pytest_arguments(given_options), f"--harness-repeat={file}", f"--harness-run={run_folder}"]
    log = run_folder / "sessions.log"
    said = log.stat().st_size if log.exists() else 0
    status = run_child([*options, case], log=log)
    left = [trial for trial in store.trials() if (trial.side, trial.number) == (ONE, number)]
    if len(left) == 1:
        return left[0]
    problem = f"{case}: {_problem(status, len(left), log.read_bytes()[said:].decode(errors='replace'))}; see {log}"
    raise UsageError(problem) if status in _MISTAKES or left else InfraError(problem)


def _problem(status: int, trials: int, output: str) -> str:
    if trials:
        return f"that is {trials} cases; name one, with its parameters: test_x.py::test_y[x4]"
    if status == pytest.ExitCode.NO_TESTS_COLLECTED:
        return "no test case was selected"
    errors = [line.removeprefix("ERROR: ") for line in output.splitlines() if line.startswith("ERROR")]
    return errors[0] if errors else f"the session ended with status {status}, without a trial"


def _write_repetition(run_folder: Path, sides: Mapping[str, str], trials: Sequence[tuple[str, int]]) -> Path:
    file = run_folder.absolute() / "repeat.json"
    with disk_errors(file):
        run_folder.mkdir(parents=True, exist_ok=True)
    write_json(file, {"sides": sides, "trials": trials})
    return file
