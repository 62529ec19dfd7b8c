"""The run store: one folder for each run, one below it for each trial, everything written as it happens.

    results/20260101-120000-3f2a/
      manifest.json         what ran, on what
      junit.xml             written by pytest
      report.html           written by `harness.results.report.write_report`
      trials/<trial>/
        trial.json          the trial's full name and what was expected of it
        history.jsonl       one event a line, see `harness.model.history`
        verdict.json        only once there is one
        measures.json         its figures, see `harness.model.measure`
        diagnosis.json      why it hung, see `harness.model.diagnosis`; null where there is nothing to explain
        consoles/<host>.log
        evidence/

Several processes may share a run: each makes its own trials, and the manifest is merged under a lock.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from harness.model.diagnosis import Diagnosis
from harness.model.errors import UsageError
from harness.model.history import Event
from harness.model.measure import Measure
from harness.model.verdict import REPRODUCIBLE, Verdict, VerdictKind
from harness.results.files import DamagedResult, disk_errors, locked, read_json, write_atomic, write_json
from harness.results.history_file import HistoryWriter, scan_history

SURVIVES = "survives"
MANIFEST = "manifest.json"
MEASURES = "measures.json"
_NAME_LIMIT = 100  # a folder name may have 255 bytes; the rest is left for suffixes and readers
_TRIES = 1000
_NOTHING = b"null\n"


class RunStore:
    """What one run leaves behind, in the folder `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, root: Path, *, manifest: Mapping[str, Any], now: datetime | None = None) -> RunStore:
        """Make a new run below `root`, named after the local time and four random hex digits.

        Raises HostEnvironmentError where that cannot be written.
        """
        stamp = (now or datetime.now()).strftime("%Y%m%d-%H%M%S")
        with disk_errors(root):
            root.mkdir(parents=True, exist_ok=True)
        path = _new_folder([root / f"{stamp}-{secrets.token_hex(2)}" for _ in range(_TRIES)])
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
        """Where pytest is to write its JUnit file."""
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
        path = _new_folder([parent / base, *(parent / f"{base}-{n}" for n in range(2, _TRIES))])
        write_json(path / "trial.json", {"name": name, "expected": expected, "created": time.time()})
        return TrialStore(path)

    def trials(self) -> list[TrialStore]:
        """All trials of the run, in the order in which they began."""
        folders = [path for path in (self.path / "trials").glob("*") if path.is_dir()]
        return sorted((TrialStore(path) for path in folders), key=lambda trial: (trial.created, trial.slug))


class TrialStore:
    """What one trial leaves behind, in the folder `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._history = HistoryWriter(self.history_path)

    @property
    def slug(self) -> str:
        """The name of the trial's folder: safe in a file name and in a link."""
        return self.path.name

    @property
    def name(self) -> str:
        """The trial's full name, as given to `RunStore.trial`."""
        return str(self._facts().get("name", self.slug))

    @property
    def expected(self) -> str:
        """What was expected: "survives" or one of the words of `REPRODUCIBLE`."""
        return str(self._facts().get("expected", SURVIVES))

    @property
    def created(self) -> float:
        """When the trial began, in seconds since the epoch; 0.0 if its trial.json is gone or damaged."""
        created = self._facts().get("created", 0.0)
        return float(created) if isinstance(created, int | float) else 0.0

    @property
    def history_path(self) -> Path:
        """The history file."""
        return self.path / "history.jsonl"

    @property
    def verdict_path(self) -> Path:
        """The verdict file."""
        return self.path / "verdict.json"

    @property
    def diagnosis_path(self) -> Path:
        """The diagnosis file; a run that is older than diagnoses has none."""
        return self.path / "diagnosis.json"

    @property
    def evidence(self) -> Path:
        """The folder for evidence files; made on first use."""
        return _made(self.path / "evidence")

    def console(self, host: str) -> Path:
        """The console log of `host`; its folder is made, the file is not."""
        return _made(self.path / "consoles") / f"{folder_name(host)}.log"

    def append(self, event: Event) -> None:
        """Record one event, at once; safe from several threads. Raises HostEnvironmentError."""
        self._history.append(event)

    def close(self) -> None:
        """Close the history file."""
        self._history.close()

    def scan_history(self) -> tuple[list[Event], list[int]]:
        """The events that can be read, and the numbers of the damaged lines; see `history_file`."""
        return scan_history(self.history_path)

    def read_history(self) -> list[Event]:
        """All events; a last line that a kill cut short is left out. Raises DamagedResult on any other."""
        events, damaged = self.scan_history()
        if damaged:
            raise DamagedResult(path=self.history_path, problem=f"line {damaged[0]} is not an event")
        return events

    def write_verdict(self, verdict: Verdict, extra: Mapping[str, Any]) -> None:
        """Write verdict.json: the verdict's own fields, `name`, `expected`, `as_expected`, `wall_s`, `extra`.

        `extra` may give `expected`, `as_expected` and `wall_s` (seconds, the whole trial), and more; it
        cannot change the verdict's own fields. Raises HostEnvironmentError.
        """
        own = verdict.to_dict()
        if clash := sorted(own.keys() & extra.keys()):
            raise ValueError(f"these fields belong to the verdict itself: {', '.join(clash)}")
        facts = {"name": self.name, "expected": self.expected, "wall_s": None, **extra}
        facts.setdefault("as_expected", is_as_expected(verdict.kind, facts["expected"]))
        write_json(self.verdict_path, {**own, **facts})

    def read_verdict(self) -> dict[str, Any] | None:
        """The content of verdict.json, or None if the trial has no verdict; raises DamagedResult."""
        try:
            return read_json(self.verdict_path)
        except FileNotFoundError:
            return None

    def write_diagnosis(self, diagnosis: Diagnosis | None) -> None:
        """Write diagnosis.json; raises HostEnvironmentError."""
        if diagnosis is None:
            write_atomic(self.diagnosis_path, _NOTHING)
        else:
            write_json(self.diagnosis_path, diagnosis.to_dict())

    def read_diagnosis(self) -> Diagnosis | None:
        """What diagnosis.json says; None if it says null, or if there is none. Raises DamagedResult."""
        try:
            if self.diagnosis_path.read_bytes() == _NOTHING:
                return None
            return Diagnosis.from_dict(read_json(self.diagnosis_path))
        except FileNotFoundError:
            return None
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DamagedResult(path=self.diagnosis_path, problem=f"not a diagnosis ({error!r})") from error

    def write_measures(self, measures: Sequence[Measure]) -> None:
        """Write measures.json; raises HostEnvironmentError."""
        write_json(self.path / MEASURES, {"measures": [asdict(measure) for measure in measures]})

    def read_measures(self) -> list[Measure]:
        """The figures of the trial; none if there is no such file. Raises DamagedResult."""
        path = self.path / MEASURES
        try:
            return [Measure(**record) for record in read_json(path)["measures"]]
        except FileNotFoundError:
            return []
        except (KeyError, TypeError) as error:
            raise DamagedResult(path=path, problem=f"not a list of figures ({error!r})") from error

    def texts(self) -> dict[str, list[tuple[str, bytes]]]:
        """What each host printed: its console, then its evidence, as (path below the trial's folder, content)."""
        consoles = _regular(self.path / "consoles", "*.log")
        hosts = [path.stem for path in consoles]
        texts = {path.stem: [path] for path in consoles}
        for path in _regular(self.path / "evidence", "*"):
            # a console's name may have dots in it, and so may the evidence's
            host = max((host for host in hosts if path.name.startswith(f"{host}.")), key=len, default="")
            texts.setdefault(host or path.name.partition(".")[0], []).append(path)
        return {
            host: [(str(path.relative_to(self.path)), path.read_bytes()) for path in paths]
            for host, paths in texts.items()
        }

    def _facts(self) -> dict[str, Any]:
        with contextlib.suppress(FileNotFoundError, DamagedResult):
            return read_json(self.path / "trial.json")
        return {}


def is_as_expected(kind: VerdictKind, expected: str) -> bool:
    """Whether `kind` is what `expected` says: "survives" or a word of `REPRODUCIBLE`; else ValueError."""
    if expected == SURVIVES:
        return kind is VerdictKind.SURVIVED
    if expected not in REPRODUCIBLE:
        words = ", ".join([SURVIVES, *REPRODUCIBLE])
        raise ValueError(f"cannot expect {expected!r}; the words are: {words}")
    return kind is REPRODUCIBLE[expected]


def folder_name(name: str) -> str:
    """`name` as a folder name: letters, digits, dots and dashes only, never empty or hidden, bounded.

    Of a pytest node id the folders and the `.py` are left out.
    """
    file, separator, rest = name.partition("::")
    if separator:
        name = f"{file.rpartition('/')[2].removesuffix('.py')}.{rest}"
    safe = re.sub(r"[^A-Za-z0-9._]+", "-", name.replace("::", "."))
    return safe[:_NAME_LIMIT].strip(".-") or "unnamed"


def _new_folder(candidates: list[Path]) -> Path:
    """Make and return the first candidate that is not there yet."""
    for path in candidates:
        with disk_errors(path), contextlib.suppress(FileExistsError):
            path.mkdir()
            return path
    raise UsageError(f"{candidates[0].parent}: too many folders called {candidates[0].name}; clear it out")


def _made(folder: Path) -> Path:
    with disk_errors(folder):
        folder.mkdir(exist_ok=True)
    return folder


def _regular(folder: Path, pattern: str) -> list[Path]:
    """Files below `folder`, sorted; no links, as a run may come from anywhere."""
    return sorted(path for path in folder.glob(pattern) if path.is_file() and not path.is_symlink())


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(old)
    for key, value in new.items():
        before = merged.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            merged[key] = _merged(before, value)
        else:
            merged[key] = value
    return merged
