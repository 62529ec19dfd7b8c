"""Runs and trials by their names on a command line."""

from __future__ import annotations

from pathlib import Path

from harness.cli.options import resolve_options
from harness.model.errors import UsageError
from harness.results.store import MANIFEST, RunStore, TrialStore

_MOST = 12  # names in a message; a run may have hundreds of trials


def find_run(run: str | None, results: str | None) -> RunStore:
    """The run in the folder `run`, or of this name in the results folder; None: the newest. Raises UsageError."""
    if run is not None and Path(run).is_dir():
        return _open(Path(run))
    root = resolve_options({"results": results}).settings.results
    known = RunStore.runs(root)
    if run is not None:
        if run and (root / run).is_dir():
            return _open(root / run)
        newest = f"; the newest there is {known[-1].name}" if known else ""
        raise UsageError(f"no run '{run}', neither as a folder nor in {root}{newest}")
    if not known:
        raise UsageError(f"{root}: no runs there; name a run's folder, or the results folder with --results")
    return known[-1]


def find_trials(name: str | None, results: str | None) -> tuple[RunStore, TrialStore | None]:
    """The run of `RUN` or `RUN/TRIAL`, and the trial if one is named. Raises UsageError."""
    if name is None or (Path(name) / MANIFEST).is_file():
        return find_run(name, results), None
    roots = [Path(), resolve_options({"results": results}).settings.results]
    parts = name.rstrip("/").split("/")
    # A trial's name may contain slashes, as a node id does; so may the path of a run.
    for cut in range(len(parts) - 1, 0, -1):
        head, tail = "/".join(parts[:cut]), "/".join(parts[cut:])
        folder = next((root / head for root in roots if (root / head / MANIFEST).is_file()), None)
        if folder is not None:
            run = RunStore.open(folder)
            return run, _trial(run, tail.removeprefix("trials/"))
    return find_run(name, results), None


def _open(folder: Path) -> RunStore:
    run = folder.resolve().parent.parent
    if not (folder / MANIFEST).is_file() and (run / MANIFEST).is_file():
        raise UsageError(f"{folder}: that is a trial; name its run, {run.name}")
    return RunStore.open(folder)


def _trial(run: RunStore, name: str) -> TrialStore:
    trials = run.trials()
    for trial in trials:
        if name in (trial.slug, trial.name):
            return trial
    there = [trial.slug for trial in trials[:_MOST]] + (["…"] if len(trials) > _MOST else [])
    raise UsageError(f"no trial '{name}' in run {run.name}; there are: {', '.join(there) or 'none'}")
