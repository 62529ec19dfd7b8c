"""The files of one trial; see `harness.results.store` for the layout of a run's folder."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.model.diagnosis import Diagnosis
from harness.model.history import Event
from harness.model.measure import Measure
from harness.model.verdict import Verdict, VerdictKind, kinds_of
from harness.results.files import DamagedResult, read_json, write_atomic, write_json
from harness.results.folders import folder_name, made
from harness.results.history_file import HistoryWriter, scan_history

SURVIVES = "survives"
ANYTHING = "anything"  # expected of one of many trials, which only the comparison judges
MEASURES = "measures.json"
_NOTHING = b"null\n"

# Verdicts about the kernel.
ABOUT_THE_KERNEL = frozenset(VerdictKind) - {VerdictKind.INCONCLUSIVE, VerdictKind.LOST}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One of many trials of a case: the `number`th on `side`; "" if there are no sides.

    `case` is the case's name; "" if it is the trial's own name.
    """

    side: str = ""
    number: int = 1
    case: str = ""


PLAIN = Entry()


class TrialStore:
    """The files of one trial, in the folder `path`."""

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
        """What was expected: "survives", "anything" or words of `REPRODUCIBLE` with "or" between them."""
        return str(self._facts().get("expected", SURVIVES))

    @property
    def side(self) -> str:
        """The side of a comparison on which it ran; "" for a trial of a plain run."""
        return str(self._facts().get("side", ""))

    @property
    def number(self) -> int:
        """Its number among the trials of its case on its side, from 1."""
        number = self._facts().get("number", 1)
        return number if isinstance(number, int) else 1

    @property
    def case(self) -> str:
        """The name of the case: the trial's name without side and number."""
        return str(self._facts().get("case", self.name))

    @property
    def is_finished(self) -> bool:
        """Whether it has a verdict about the kernel."""
        try:
            record = self.read_verdict()
            return record is not None and Verdict.from_dict(record).kind in ABOUT_THE_KERNEL
        except (DamagedResult, KeyError, TypeError, ValueError):
            return False

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
        """The diagnosis file; runs older than diagnoses have none."""
        return self.path / "diagnosis.json"

    @property
    def evidence(self) -> Path:
        """The folder for evidence files; made on first use."""
        return made(self.path / "evidence")

    def console(self, host: str) -> Path:
        """The console log of `host`; its folder is made, the file is not."""
        return made(self.path / "consoles") / f"{folder_name(host)}.log"

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
        """The diagnosis in diagnosis.json; None if it holds null or is missing. Raises DamagedResult."""
        try:
            if self.diagnosis_path.read_bytes() == _NOTHING:
                return None
            return Diagnosis.from_dict(read_json(self.diagnosis_path))
        except FileNotFoundError:
            return None
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DamagedResult(path=self.diagnosis_path, problem=f"not a diagnosis ({error!r})") from error

    @property
    def measures_path(self) -> Path:
        """The file of figures; runs older than figures have none."""
        return self.path / MEASURES

    def write_measures(self, measures: Sequence[Measure]) -> None:
        """Write measures.json; raises HostEnvironmentError."""
        write_json(self.measures_path, {"measures": [asdict(measure) for measure in measures]})

    def read_measures(self) -> list[Measure]:
        """The figures of the trial; none if there is no such file. Raises DamagedResult."""
        path = self.measures_path
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
    """Whether `kind` meets `expected`: "survives", "anything" or words for `kinds_of`; else raises ValueError."""
    if expected == ANYTHING:
        return kind in ABOUT_THE_KERNEL
    if expected == SURVIVES:
        return kind is VerdictKind.SURVIVED
    return kind in kinds_of(expected)


def _regular(folder: Path, pattern: str) -> list[Path]:
    """Files below `folder`, sorted; no links, as a run may come from anywhere."""
    return sorted(path for path in folder.glob(pattern) if path.is_file() and not path.is_symlink())
