"""The diagnosis against hangs with known causes: our own self-test's, and those of others (`corpora`).

Of the latter kernel developers have said, in public, what they were. The aims are the project's: no confident wrong
class, and the right class for at least 10 of 16 hangs. `UNKNOWN` is right where the conclusion is a bug of a kind that
has no class, or where the log does not carry it.
"""

from __future__ import annotations

import random
import re
from unittest import mock

import pytest
from corpora import CORPORA, NO_HANG, Hang, Log, read_corpus, read_hangs

from harness.diagnosis import Reader
from harness.diagnosis.read.parser import Parser
from harness.diagnosis.reader import read_facts
from harness.model.diagnosis import Confidence, Diagnosis
from harness.model.hang_classes import HangClass

WAITING = ("hung_task", "lockup_stall", "lockdep")
CONFIDENT = (Confidence.HIGH, Confidence.MEDIUM)
HANGS = read_hangs()
CONCLUDED = [hang for hang in HANGS if hang.concluded != NO_HANG]


@pytest.fixture(scope="module", params=CORPORA, ids=lambda folder: folder.name)
def logs(request: pytest.FixtureRequest) -> list[Log]:
    return read_corpus(request.param)


def diagnose(data: bytes) -> Diagnosis | None:
    reader = Reader()
    reader.feed(data)
    return reader.close()


def is_right(hang: Hang) -> bool:
    found = diagnose(hang.data)
    return found is not None and found.hang_class.value == hang.concluded


def test_no_class_is_wrong_and_confident() -> None:
    wrong = {}
    for hang in CONCLUDED:
        found = diagnose(hang.data)
        if found is not None and found.confidence in CONFIDENT and found.hang_class.value != hang.concluded:
            wrong[hang.name] = (found.hang_class, found.confidence)
    assert not wrong


def test_at_least_ten_of_sixteen_classes_are_right() -> None:
    wrong = [hang.name for hang in CONCLUDED if not is_right(hang)]
    assert len(wrong) <= 6 / 16 * len(CONCLUDED), wrong


def test_named_classes_alone_are_right_for_most() -> None:
    """Saying "unknown" of everything would pass for the logs whose conclusion has no class; this counts the others."""
    named = [hang for hang in CONCLUDED if hang.concluded != HangClass.UNKNOWN]
    wrong = [hang.name for hang in named if not is_right(hang)]
    assert len(wrong) <= 0.2 * len(named), wrong


def test_what_only_looks_like_a_hang_is_not_called_one() -> None:
    wrong = {}
    for hang in HANGS:
        if hang.concluded != NO_HANG:
            continue
        found = diagnose(hang.data)
        if found and found.hang_class is not HangClass.SLOW_NOT_STUCK and found.confidence is not Confidence.LOW:
            wrong[hang.name] = found.title
    assert not wrong


def test_every_piece_of_evidence_stands_where_it_is_said_to() -> None:
    for hang in HANGS:
        lines = hang.data.decode("utf-8", "replace").split("\n")
        found = diagnose(hang.data)
        for cited in (*found.evidence, *(one for edge in found.edges for one in edge.evidence)) if found else ():
            assert re.search(rf"\b{re.escape(cited.frame)}", lines[cited.line - 1]), (hang.name, cited)


def test_the_cuts_between_reads_change_nothing() -> None:
    chance = random.Random(7)
    for hang in HANGS:
        reader, position = Reader(), 0
        while position < len(hang.data):
            size = chance.choice([1, 9, 90, 2000])
            reader.feed(hang.data[position : position + size])
            position += size
        assert reader.close() == diagnose(hang.data), hang.name


def test_lines_that_are_passed_over_say_nothing(logs: list[Log]) -> None:
    for name, data in [*((hang.name, hang.data) for hang in HANGS), *((log.name, log.data) for log in logs)]:
        with mock.patch.object(Parser, "idle", False):
            whole = read_facts(data, name)
        assert read_facts(data, name) == whole, name


def test_logs_without_a_hang_have_no_diagnosis(logs: list[Log]) -> None:
    """Crashes, warnings, boots, and runs that stood still for a while: nothing in them waits."""
    quiet = [log for log in logs if log.hang_class == NO_HANG or (not log.hang_class and log.category not in WAITING)]
    assert quiet
    wrong = {log.name: found.title for log in quiet if (found := diagnose(log.data)) is not None}
    assert not wrong
