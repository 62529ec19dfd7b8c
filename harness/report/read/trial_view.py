"""A trial's files → its view on the page. Missing or damaged files are reported there, never fatal."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.model.diagnosis import Diagnosis
from harness.model.events import EvidencePiece, InfraFailure, Note, TrialFacts
from harness.model.history import Event, select
from harness.model.measure import Measure
from harness.model.verdict import VerdictKind
from harness.report.draw.timeline import Story
from harness.report.read.curves import make_panels
from harness.report.read.excerpt import Excerpt, console_tail, excerpt
from harness.report.read.findings import FindingView, make_findings
from harness.report.read.hardware import known_bad
from harness.report.read.lanes import Lane, make_lanes, number
from harness.report.read.marks import Mark, Span, make_fault_spans, make_marks, make_phases
from harness.report.read.words import CUT_SHORT, NO_VERDICT
from harness.results.files import DamagedResult
from harness.results.store import TrialStore

_FILES = 80  # evidence files shown in full; the rest is only counted
_MARKS = _FINDINGS = 200  # a guest can print findings without end
_NOTES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The verdict as the page shows it; `kind` is NO VERDICT without one; times are trial time."""

    kind: str
    summary: str
    expected: str
    as_expected: bool | None = None
    onset: float | None = None
    certain: float | None = None
    wall: float | None = None
    reasons: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()
    alive: tuple[str, ...] = ()
    stalls: tuple[tuple[float, float, bool], ...] = ()

    @property
    def to_certainty(self) -> float | None:
        """Seconds from onset to certainty."""
        if self.onset is None or self.certain is None:
            return None
        return self.certain - self.onset


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceFile:
    """One piece of evidence: its source, whether collecting it worked, and its content."""

    host: str
    title: str
    ok: bool
    detail: str
    content: Excerpt


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialView:
    """One trial as the page shows it."""

    name: str
    slug: str
    end: float
    judgement: Judgement
    lanes: Sequence[Lane]
    marks: Sequence[Mark]
    marks_left_out: int
    phases: Sequence[Span]
    findings: Sequence[FindingView]
    findings_left_out: int
    notes: Sequence[tuple[Event, str]]
    evidence: Sequence[EvidenceFile]
    evidence_left_out: int
    consoles: Sequence[Excerpt]
    problems: Sequence[str]
    story: Story
    diagnosis: Diagnosis | None
    measures: Sequence[Measure] = ()
    about: str = ""
    hardware: Sequence[str] = ()


def read_trial(store: TrialStore) -> TrialView:
    """Read one trial from its files."""
    events, damaged = store.scan_history()
    end = max((event.t for event in events), default=0.0)
    judgement, problems = _judgement(store, end)
    diagnosis = _diagnosis(store, problems)
    if damaged:
        where = f"{store.history_path.name}: damaged lines: {len(damaged)}"
        problems.append(f"{where}, left out; the first is line {damaged[0]}")
    if not events:
        problems.append(f"{store.history_path.name}: no events were recorded")
    findings = make_findings(events)
    notes = list(_notes(events))
    story = _story(events, end, judgement)
    evidence = _evidence(store.path, events)
    return TrialView(
        name=store.name,
        slug=store.slug,
        end=end,
        judgement=judgement,
        lanes=story.lanes,
        marks=story.marks[:_MARKS],
        marks_left_out=max(0, len(story.marks) - _MARKS),
        phases=story.phases,
        findings=findings[:_FINDINGS],
        findings_left_out=max(0, len(findings) - _FINDINGS),
        notes=notes[:_NOTES],
        evidence=[_evidence_file(store.path, *entry) for entry in evidence[:_FILES]],
        evidence_left_out=max(0, len(evidence) - _FILES),
        consoles=[console_tail(path, path.stem) for path in sorted((store.path / "consoles").glob("*.log"))],
        problems=problems,
        story=story,
        diagnosis=diagnosis,
        measures=_measures(store, problems),
        about=next((facts.about for _, facts in select(events, TrialFacts)), ""),
        hardware=known_bad(events),
    )


def _story(events: Sequence[Event], end: float, judgement: Judgement) -> Story:
    return Story(
        end=end,
        lanes=make_lanes(events, end),
        panels=make_panels(events, end),
        marks=make_marks(events),
        phases=make_phases(events, end),
        faults=make_fault_spans(events, end),
        onset=judgement.onset,
        certain=judgement.certain,
        stalls=[(onset, onset + duration) for onset, duration, _ in judgement.stalls],
    )


def _judgement(store: TrialStore, end: float) -> tuple[Judgement, list[str]]:
    try:
        record = store.read_verdict()
    except DamagedResult as error:
        return _none(store, f"no verdict: verdict.json is damaged ({error.problem})"), [str(error)]
    if record is None:
        return _none(store, f"{CUT_SHORT}; the last event was recorded at {end:.1f} s"), []
    return _judged(store, record), []


def _diagnosis(store: TrialStore, problems: list[str]) -> Diagnosis | None:
    try:
        return store.read_diagnosis()
    except DamagedResult as error:
        problems.append(str(error))
        return None


def _measures(store: TrialStore, problems: list[str]) -> Sequence[Measure]:
    try:
        return store.read_measures()
    except DamagedResult as error:
        problems.append(str(error))
        return ()


def _none(store: TrialStore, summary: str) -> Judgement:
    return Judgement(kind=NO_VERDICT, summary=summary, expected=store.expected)


def _judged(store: TrialStore, record: dict[str, Any]) -> Judgement:
    as_expected = record.get("as_expected")
    return Judgement(
        kind=str(record.get("verdict", VerdictKind.INCONCLUSIVE.value)),
        summary=str(record.get("summary", "")),
        expected=str(record.get("expected", store.expected)),
        as_expected=as_expected if isinstance(as_expected, bool) else None,
        onset=number(record.get("onset_s")),
        certain=number(record.get("certain_s")),
        wall=number(record.get("wall_s")),
        reasons=_texts(record.get("reasons")),
        blocked=_texts(record.get("blocked")),
        alive=_texts(record.get("alive")),
        stalls=tuple(_stalls(record.get("stalls"))),
    )


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, list) else ()


def _stalls(value: Any) -> Iterable[tuple[float, float, bool]]:
    for stall in value if isinstance(value, list) else ():
        if isinstance(stall, dict):
            onset, duration = number(stall.get("onset_s")), number(stall.get("duration_s"))
            if onset is not None and duration is not None:
                yield onset, duration, bool(stall.get("ended"))


def _notes(events: Iterable[Event]) -> Iterable[tuple[Event, str]]:
    """Notes and failures of the harness."""
    for event in events:
        match event.payload:
            case Note(text=words) | InfraFailure(error=words):
                yield event, words or "–"


def _evidence(folder: Path, events: Iterable[Event]) -> list[tuple[Path | None, str, EvidencePiece]]:
    """(file, host, piece) of evidence with an event, then files without one, as a kill can come in between."""
    entries = [(_inside(folder, piece.path), event.host, piece) for event, piece in select(events, EvidencePiece)]
    known = {path for path, _, _ in entries}
    for path in sorted((folder / "evidence").rglob("*")):
        if not path.is_dir() and path not in known:
            entries.append((path, "", EvidencePiece(name="", ok=True)))
    return entries


def _inside(folder: Path, path: str) -> Path | None:
    """`path` of an evidence event if it is within the trial's folder; a history may come from anywhere."""
    if not path or "\0" in path:
        return None
    for base in (folder, folder / "evidence"):
        candidate = base / path
        with contextlib.suppress(OSError):  # such as a name that is too long
            if candidate.resolve().is_relative_to(folder.resolve()) and candidate.is_file():
                return candidate
    return None


def _evidence_file(folder: Path, path: Path | None, host: str, piece: EvidencePiece) -> EvidenceFile:
    if path is None:
        content = Excerpt(name=piece.path or "no file", note="there is no such file in the run")
    else:
        content = excerpt(path, str(path.relative_to(folder)))
    return EvidenceFile(
        host=host,
        title=piece.name or content.name,
        ok=piece.ok,
        detail=piece.detail,
        content=content,
    )
