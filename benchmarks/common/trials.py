"""Trials that a benchmark runs itself, with `harness run` in a process of its own."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common.children import Finished, run_child
from benchmarks.common.command import ROOT, arguments_of
from benchmarks.common.guests import INVENTORY
from harness.model.errors import InfraError
from harness.model.settings import Settings
from harness.results.store import RunStore, TrialStore


def harness_run(
    settings: Settings, results: Path, case: str, *, limit_s: float, options: Sequence[str] = ()
) -> tuple[Finished, RunStore]:
    """Run the cases in the file `case` (below the checkout) and give their run, which is the newest in `results`.

    Raises InfraError if there is none; an unexpected verdict is no error.
    """
    command = [str(Path(sys.executable).with_name("harness")), "run", case, "--inventory", str(INVENTORY)]
    command += [*arguments_of(settings), "--results", str(results), "--live", "off", *options]
    before = {run.path for run in RunStore.runs(results)}
    finished = run_child(command, limit_s=limit_s, cwd=ROOT)
    made = [run for run in RunStore.runs(results) if run.path not in before]
    if not made:
        raise InfraError(f"`harness run {case}` ended with exit code {finished.exit_code}:\n{finished.tail}")
    return finished, made[-1]


def only_trial(finished: Finished, run: RunStore) -> TrialStore:
    """The one trial of a run; raises InfraError with what `harness run` printed if its expectation failed."""
    trials = run.trials()
    if finished.exit_code != 0 or len(trials) != 1:
        raise InfraError(f"the trial in {run.name} ended with exit code {finished.exit_code}:\n{finished.tail}")
    return trials[0]
