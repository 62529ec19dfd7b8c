"""The run store: one folder for each run, one below it for each trial, everything written as it happens.

    results/20260101-120000-3f2a/
      manifest.json         facts of the run: version, settings, this machine, guests
      junit.xml             written by pytest
      report.html           written by `harness.report.write_report`
      trials/<trial>/
        trial.json          the trial's full name, what was expected of it, its case and its side
        history.jsonl       one event a line, see `harness.model.history`
        verdict.json        only once there is one
        measures.json       its figures, see `harness.model.measure`
        diagnosis.json      why it hung, see `harness.model.diagnosis`; null where there is nothing to explain
        consoles/<host>.log
        evidence/
      trials/<trial>.unfinished/   set aside when the run was resumed: it had no verdict about the kernel
      enough.txt            why the run ended early, if it did

Several processes may share a run: each makes its own trials, and the manifest is merged under a lock.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from harness.model.errors import UsageError
from harness.results.files import disk_errors, locked, read_json, write_json
from harness.results.folders import TRIES, folder_name, new_folder, renamed
from harness.results.trial_store import (
    ABOUT_THE_KERNEL,
    ANYTHING,
    PLAIN,
    SURVIVES,
    Entry,
    TrialStore,
    is_as_expected,
)

__all__ = [
    "ABOUT_THE_KERNEL",
    "ANYTHING",
    "MANIFEST",
    "PLAIN",
    "SURVIVES",
    "Entry",
    "RunStore",
    "TrialStore",
    "folder_name",
    "is_as_expected",
    "new_run_folder",
]

MANIFEST = "manifest.json"
_ASIDE = ".unfinished"
_SET_ASIDE = re.compile(rf"{re.escape(_ASIDE)}(-\d+)?$")


class RunStore:
    """The results of one run, in the folder `path`; `entry` is recorded in each trial that it makes, see `of`."""

    def __init__(self, path: Path, *, entry: Entry = PLAIN) -> None:
        self.path = path
        self._entry = entry

    def of(self, entry: Entry) -> RunStore:
        """The same run, for making the trial described by `entry`."""
        return RunStore(self.path, entry=entry)

    @classmethod
    def create(cls, root: Path, *, manifest: Mapping[str, Any], now: datetime | None = None) -> RunStore:
        """Make a new run below `root`, named after the local time and four random hex digits.

        Raises HostEnvironmentError if it cannot be written.
        """
        path = new_run_folder(root, now=now)
        write_json(path / MANIFEST, manifest)
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> RunStore:
        """The run in `path`, made by another process or earlier; raises UsageError if there is none."""
        if not (path / MANIFEST).is_file():
            raise UsageError(f"{path}: not a run folder (it has no {MANIFEST}); give a folder below results/")
        return cls(path)

    @classmethod
    def runs(cls, root: Path) -> list[RunStore]:
        """All runs below `root`, oldest first."""
        return [cls(manifest.parent) for manifest in sorted(root.glob(f"*/{MANIFEST}"))]

    @property
    def name(self) -> str:
        """The run's name, which is its folder's."""
        return self.path.name

    @property
    def junit_path(self) -> Path:
        """The path of pytest's JUnit file."""
        return self.path / "junit.xml"

    def read_manifest(self) -> dict[str, Any]:
        """The manifest; raises DamagedResult if it does not parse."""
        return read_json(self.path / MANIFEST)

    def merge_manifest(self, facts: Mapping[str, Any]) -> None:
        """Add `facts`, from any process of the run; mappings are merged, anything else replaces."""
        with locked(self.path / f".{MANIFEST}.lock"):
            write_json(self.path / MANIFEST, _merged(self.read_manifest(), facts))

    def trial(self, name: str, *, expected: str = SURVIVES) -> TrialStore:
        """Make the folder of a new trial; `name` is any text, such as a pytest node id, and may repeat."""
        parent = self.path / "trials"
        with disk_errors(parent):
            parent.mkdir(exist_ok=True)
        base = folder_name(name)
        if _SET_ASIDE.search(base):  # as a parameter called "a.unfinished" makes it
            base += "_"
        path = new_folder([parent / base, *(parent / f"{base}-{n}" for n in range(2, TRIES))])
        facts = {"name": name, "expected": expected, "created": time.time(), **asdict(self._entry)}
        write_json(path / "trial.json", {**facts, "case": self._entry.case or name})
        return TrialStore(path)

    def trials(self, name: str | None = None) -> list[TrialStore]:
        """The trials of the run in the order in which they began: all, or those called `name`."""
        pattern = "*" if name is None else f"{folder_name(name)}*"  # others need not be read
        folders = [path for path in (self.path / "trials").glob(pattern) if path.is_dir()]
        stores = [TrialStore(path) for path in folders if not _SET_ASIDE.search(path.name)]
        wanted = [store for store in stores if name is None or store.name == name]
        return sorted(wanted, key=lambda trial: (trial.created, trial.slug))

    def finished(self, name: str) -> TrialStore | None:
        """The newest trial called `name` that has a verdict about the kernel, or None."""
        return next((trial for trial in reversed(self.trials(name)) if trial.is_finished), None)

    def set_aside_unfinished(self) -> list[Path]:
        """Rename the trials without a verdict about the kernel, so that they no longer count; returns the new paths."""
        aside = [trial.path for trial in self.trials() if not trial.is_finished]
        return [renamed(path, f"{path.name}{_ASIDE}") for path in aside]

    @property
    def enough_path(self) -> Path:
        """The file with the reason why the run ended early."""
        return self.path / "enough.txt"


def new_run_folder(root: Path, *, now: datetime | None = None) -> Path:
    """Make an empty folder for a new run below `root`, as `RunStore.create` names it. Raises HostEnvironmentError."""
    stamp = (now or datetime.now()).strftime("%Y%m%d-%H%M%S")
    with disk_errors(root):
        root.mkdir(parents=True, exist_ok=True)
    return new_folder([root / f"{stamp}-{secrets.token_hex(2)}" for _ in range(TRIES)])


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(old)
    for key, value in new.items():
        before = merged.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            merged[key] = _merged(before, value)
        else:
            merged[key] = value
    return merged
