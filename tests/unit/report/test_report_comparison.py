"""The section "A against B" of the report."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from harness.report import write_report
from harness.report.draw.survival import draw_survival
from harness.report.read.comparison import COMPARISON, read_comparison
from harness.results.files import DamagedResult
from harness.results.store import RunStore

STEPS = [
    {"time": 0.0, "share": 1.0, "low": 1.0, "high": 1.0},
    {"time": 9.0, "share": 0.5, "low": 0.1, "high": 0.8},
    {"time": 21.0, "share": 0.0, "low": 0.0, "high": 0.0},
]


def side(key: str, **changes: Any) -> dict[str, Any]:
    facts = {
        "side": key,
        "name": f"side <{key}>",
        "runs": 2,
        "hits": 2,
        "rate": 1.0,
        "interval": [0.158, 1.0],
        "verdicts": {"DEADLOCKED": 2},
        "without_verdict": [],
        "median_s": 15.0,
        "longest_s": 21.0,
        "hit_after_s": [9.0, 21.0],
        "ended_after_s": [],
        "curve": STEPS,
    }
    return {**facts, **changes}


def survivor(key: str) -> dict[str, Any]:
    return side(
        key, hits=0, rate=0.0, interval=[0.0, 0.84], verdicts={"SURVIVED": 2}, median_s=None, longest_s=None,
        hit_after_s=[], ended_after_s=[100.0, 120.0], curve=STEPS[:1],
    )  # fmt: skip


def write(folder: Path, *sides: dict[str, Any]) -> RunStore:
    run = RunStore.create(folder, manifest={})
    result = {"sentence": "hung in 2 of 2 runs <b>", "notes": ["Counted: DEADLOCKED."], "sides": sides}
    record = {"question": {"case": "test_x.py::test_y"}, "repeated": [], "result": result}
    (run.path / COMPARISON).write_text(json.dumps(record))
    return run


def test_the_page_has_the_sentence_the_table_and_both_curves(tmp_path: Path) -> None:
    page = write_report(write(tmp_path, side("a"), survivor("b")).path).read_text()
    assert "<h2>A against B</h2>" in page
    assert "<blockquote>hung in 2 of 2 runs &lt;b&gt;</blockquote>" in page
    assert "2 of 2" in page and "16–100 %" in page and "21.0 s" in page
    assert "Counted: DEADLOCKED." in page
    drawing = page[page.index("<svg") : page.index("</svg>")]
    assert "a: side &lt;a&gt;" in drawing and "b: side &lt;b&gt;" in drawing
    assert "seconds of load" in drawing


def test_a_plain_run_has_no_such_section(tmp_path: Path) -> None:
    page = write_report(RunStore.create(tmp_path, manifest={}).path).read_text()
    assert "A against B" not in page


def test_a_comparison_without_a_result_has_no_section_yet(tmp_path: Path) -> None:
    run = RunStore.create(tmp_path, manifest={})
    (run.path / COMPARISON).write_text('{"question": {}, "result": null}')
    assert read_comparison(run.path) is None


@pytest.mark.parametrize("text", ["{", "[]", '{"result": {}}', '{"question": {"case": "x"}, "result": {"sides": 5}}'])
def test_a_damaged_file_is_told_and_is_not_the_end_of_the_page(tmp_path: Path, text: str) -> None:
    run = RunStore.create(tmp_path, manifest={})
    (run.path / COMPARISON).write_text(text)
    with pytest.raises(DamagedResult):
        read_comparison(run.path)
    page = write_report(run.path).read_text()
    assert "comparison.json: damaged" in page and "<h2>Verdicts</h2>" in page


def names(drawing: str) -> list[float]:
    """The heights of the names beside the curves."""
    return [float(y) for y in re.findall(r'<text[^>]*y="([\d.]+)"[^>]*>[ab]: ', drawing)] or [
        float(y) for y in re.findall(r"translate\([\d.]+ ([\d.]+)\)[^>]*>[ab]: ", drawing)
    ]


def test_names_of_curves_that_end_together_do_not_overlap(tmp_path: Path) -> None:
    for sides in ((survivor("a"), survivor("b")), (side("a"), side("b")), (side("a"), survivor("b"))):
        found = read_comparison(write(tmp_path, *sides).path)
        assert found is not None
        heights = names(draw_survival(found.sides, prefix="x", title="x"))
        assert len(heights) == 2
        assert abs(heights[0] - heights[1]) > 15.0


def test_without_any_time_nothing_is_drawn(tmp_path: Path) -> None:
    bare = side("a", curve=[], hit_after_s=[], median_s=None, longest_s=None)
    found = read_comparison(write(tmp_path, bare, {**bare, "side": "b"}).path)
    assert found is not None
    assert draw_survival(found.sides, prefix="x", title="x") == ""
