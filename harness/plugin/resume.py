"""Resuming a run where it stopped: after Ctrl-C, a reboot or `kill -9`.

A run's manifest has the arguments, the options and the folder that it was begun with. The same session is run again. A
trial that has a verdict about the kernel is not repeated: its test ends as recorded, so that counts, JUnit and report
cover the whole run. Any other existing trial is set aside, and its test runs.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from harness.model.errors import UsageError
from harness.model.options import OPTIONS, Origin
from harness.model.verdict import Verdict
from harness.plugin.invoke import run_pytest
from harness.results.run_lock import take_over
from harness.results.store import RunStore, TrialStore

RESUME = "--harness-resume"
# Options that name the run and its display; all others select and define trials.
FREE = ("resume", "live", "steal", "though_in_use")
# pytest's options that select tests.
SELECTING = ("file_or_dir", "keyword", "markexpr", "deselect")
OTHER_CASES = f"{RESUME}: the run was begun with other cases; it knows them, leave them out"

Chosen = Mapping[str, tuple[str, Origin]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """How a run was begun: pytest's `arguments` in `folder`, and the options in force."""

    folder: Path
    arguments: tuple[str, ...]
    options: Chosen


def begin(config: pytest.Config, chosen: Chosen) -> dict[str, Any]:
    """The part of a manifest for resuming its run; has no mappings, as those would be merged with older ones."""
    invoked = config.invocation_params
    return {
        "arguments": list(invoked.args),
        "folder": str(invoked.dir),
        "selected": _selected(config),
        "options": [[name, text, str(origin.base)] for name, (text, origin) in chosen.items()],
    }


def _selected(config: pytest.Config) -> list[list[Any]]:
    """The options of the command line that select tests; empty if there are none."""
    said = [[name, config.getoption(name, default=None)] for name in SELECTING]
    return [[name, value] for name, value in said if value]


def begun(run: Path) -> Begun:
    """How the run in `run` was begun; raises UsageError if that cannot be read."""
    manifest = RunStore.open(run).read_manifest()
    try:
        options = {
            name: (str(text), Origin(name=f"{run.name}: {name}", base=Path(base)))
            for name, text, base in manifest["options"]
        }
        return Begun(folder=Path(manifest["folder"]), arguments=tuple(manifest["arguments"]), options=options)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{run}: its manifest does not say how it was begun; it cannot be resumed") from error


def as_begun(chosen: Chosen, flag: str) -> dict[str, tuple[str, Origin]]:
    """The options of the run that `chosen` resumes; raises UsageError if one on the command line contradicts it."""
    text, origin = chosen["resume"]
    old = begun(origin.base / Path(text).expanduser()).options
    check(chosen, old, flag)
    free = {name: found for name, found in chosen.items() if name in FREE}
    return {**{name: found for name, found in old.items() if name not in FREE}, **free}


def check(chosen: Chosen, old: Chosen, flag: str) -> None:
    """Raise UsageError if an option of `chosen` given as a `flag` differs from that with which the run was begun."""
    for option in OPTIONS:
        found = chosen.get(option.name)
        if found is None or option.name in FREE or not found[1].name.startswith(flag):
            continue
        before = old.get(option.name)
        if before is None or option.parse(*found) != option.parse(*before):
            was = "without it" if before is None else f"with '{before[0]}'"
            raise UsageError(f"{found[1].name}: the run was begun {was}, and is resumed as it was begun; leave it out")


def reopen(run: Path, config: pytest.Config) -> tuple[RunStore, list[str]]:
    """Set unfinished trials of the run aside; returns the run and notes for the user. Raises UsageError.

    Until the session ends, no other process can resume the run.
    """
    store = RunStore.open(run)
    manifest = store.read_manifest()
    if _selected(config) != manifest.get("selected"):
        raise UsageError(OTHER_CASES)
    config.add_cleanup(take_over(run, on_wait=lambda line: print(f"harness: {line}", file=sys.stderr)).close)
    aside = store.set_aside_unfinished()
    store.merge_manifest({"resumed": [*manifest.get("resumed", []), datetime.now(UTC).isoformat(timespec="seconds")]})
    notes = [f"set aside, as it had not finished: {path}" for path in aside]
    return store, [f"resumed; finished before: {len(store.trials())} trials", *notes]


def replay(trial: TrialStore) -> tuple[Verdict, float]:
    """The verdict of a finished trial, and its duration in seconds.

    A kill may have come between the verdict and the files that follow from it: those are written now.
    """
    from harness.trial.run import explain

    record = trial.read_verdict() or {}
    verdict = Verdict.from_dict(record)
    events, _ = trial.scan_history()
    explain(trial, events, verdict)
    return verdict, float(record.get("wall_s") or 0.0)


def go_on(run: Path, *, extra: Sequence[str] = (), plugins: Sequence[object] = ()) -> int:
    """Run the session of `run` again, with `extra` arguments; exit codes as of `run_pytest`."""
    run = run.resolve()
    old = begun(run)
    if not old.folder.is_dir():
        raise UsageError(f"{run}: it was begun in {old.folder}, which is gone; make that folder again")
    with contextlib.chdir(old.folder):
        return run_pytest([*old.arguments, *extra, f"{RESUME}={run}"], plugins=plugins)


def run_again(run: Path, config: pytest.Config) -> int | None:
    """`pytest --harness-resume RUN`: run it as it was begun, with additional arguments such as -v.

    None if this session already has the arguments of the run, or if `run_session` began it, whose caller resumes it.
    Raises UsageError if other cases are named.
    """
    arguments, folder = _others(config.invocation_params.args), config.invocation_params.dir
    old = begun(run)
    if arguments[: len(old.arguments)] == old.arguments and folder == old.folder:
        return None
    if config.getoption("harness_repeat") is not None:
        return None
    if _selected(config):
        raise UsageError(OTHER_CASES)
    return go_on(run, extra=arguments)


def _others(arguments: Sequence[str]) -> tuple[str, ...]:
    """The arguments without those that name the run to resume."""
    before = ("", *arguments)
    return tuple(
        argument
        for previous, argument in zip(before, arguments, strict=False)
        if previous != RESUME and argument.partition("=")[0] != RESUME
    )
