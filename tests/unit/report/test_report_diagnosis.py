"""The diagnosis in the page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from diagnoses import LOOPBACK_NFS, UNKNOWN, VARIED
from test_report_page import HOSTILE, check_harmless

from harness.model.diagnosis import Cited, Edge, Node, NodeKind
from harness.model.hang_classes import Remedy
from harness.model.verdict import Verdict, VerdictKind
from harness.report import write_report
from harness.report.read.words import CONFIDENCE
from harness.results.store import RunStore

DEADLOCKED = Verdict(kind=VerdictKind.DEADLOCKED, summary="it stopped")


@pytest.fixture
def run(tmp_path: Path) -> RunStore:
    return RunStore.create(tmp_path, manifest={})


def test_a_diagnosis_is_drawn_told_and_proved(run: RunStore) -> None:
    for name, diagnosis in VARIED.items():
        trial = run.trial(name)
        trial.write_verdict(DEADLOCKED, {})
        trial.write_diagnosis(diagnosis)
    page = check_harmless(write_report(run.path).read_text())
    for words in (
        LOOPBACK_NFS.title,
        LOOPBACK_NFS.explanation,
        "Confidence: high, the text shows the whole chain.",
        "consoles/client.log:212, task bash, in nfs4_evict_inode",
        "killing the writer of drop_caches frees everything",
        "commit ca1d36b82394",
        "↩ the circle is closed",
        "Where the chain ends: at the NFS server 192.168.7.2.",
        "×14",
    ):
        assert words in page.text
    labels = [value for name, value in page.attributes if name == "aria-label" and value.startswith("Who waits")]
    assert len(labels) == len(VARIED)
    assert [value for name, value in page.attributes if name == "class" and value == "wait unsure"]


def test_a_trial_without_diagnosis_has_no_word_of_it(run: RunStore) -> None:
    run.trial("older")
    run.trial("survived").write_diagnosis(None)
    assert "Why it hung" not in write_report(run.path).read_text()


def test_where_no_rule_fits_there_is_no_confidence(run: RunStore) -> None:
    run.trial("t").write_diagnosis(UNKNOWN)
    text = check_harmless(write_report(run.path).read_text()).text
    assert "Class: unknown, no rule fits." in text
    assert "Confidence:" not in text


def test_a_damaged_diagnosis_is_named(run: RunStore) -> None:
    trial = run.trial("t")
    trial.diagnosis_path.write_text('{"class": "gremlins"}')
    assert "diagnosis.json: damaged: not a diagnosis" in check_harmless(write_report(run.path).read_text()).text


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_in_a_diagnosis_stays_text(run: RunStore, text: str) -> None:
    cited = Cited(source=text, line=1, task=text, frame=text, text=text)
    hostile = replace(
        UNKNOWN,
        title=text,
        explanation=text,
        nodes=(
            Node(name=text, kind=NodeKind.TASK, label=text, detail=text, count=2),
            Node(name="b", kind=NodeKind.LOCK, label=text),
        ),
        edges=(Edge(waiter=text, awaited="b", label=text, evidence=(cited,)),),
        cycle=(text, text),
        leaves=text,
        evidence=(cited,),
        confirm=(text,),
        remedies=(Remedy(text=text, commit=text),),
    )
    run.trial("t").write_diagnosis(hostile)
    page = check_harmless(write_report(run.path).read_text())
    assert "49" not in page.text.split()


def test_there_are_words_for_every_confidence() -> None:
    assert len(CONFIDENCE) == 3
