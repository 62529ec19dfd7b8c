"""Trials side by side: which tables there are, and what stands in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.model.history import Event, Kind
from harness.model.measure import Measure, Value
from harness.model.verdict import Verdict, VerdictKind
from harness.report import write_report
from harness.report.read.sides import spelled, tables
from harness.report.read.trial_view import TrialView, read_trial
from harness.results.store import RunStore


@pytest.fixture
def run(tmp_path: Path) -> RunStore:
    return RunStore.create(tmp_path, manifest={})


def trial(run: RunStore, name: str, kind: VerdictKind = VerdictKind.SURVIVED, *measures: Measure) -> TrialView:
    store = run.trial(name)
    store.append(Event(0.0, Kind.TRIAL, data={"name": name, "about": "What to look for.\n\n<script>"}))
    store.write_verdict(Verdict(kind=kind, summary="as told"), {})
    store.write_measures(measures)
    store.close()
    return read_trial(store)


def test_the_rows_of_one_file_share_a_table_and_its_columns(run: RunStore) -> None:
    worst = Measure(name="worst of ls", value=3.84, unit="s")
    views = [
        trial(run, "testcases/test_copy.py::test_cp", VerdictKind.STALLED, worst, Measure(name="stalls", value=1700)),
        trial(run, "testcases/test_other.py::test_alone"),
        trial(run, "testcases/test_copy.py::test_direct", VerdictKind.SURVIVED, worst),
    ]
    (table,) = tables(views)
    assert table.file == "testcases/test_copy.py" and table.columns == ("worst of ls, s", "stalls")
    assert [(row.name, row.kind) for row in table.rows] == [("test_cp", "STALLED"), ("test_direct", "SURVIVED")]
    assert table.rows[0].cells == ("3.8", "1\N{NARROW NO-BREAK SPACE}700") and table.rows[1].cells == ("3.8", "–")


def test_what_only_some_have_stands_where_they_tell_it(run: RunStore) -> None:
    hang, ran = Measure(name="time to hang", value=3.0, unit="s"), Measure(name="load ran", value=9.0, unit="s")
    views = [
        trial(run, "t.py::test_a", VerdictKind.SURVIVED, ran),
        trial(run, "t.py::test_b", VerdictKind.DEADLOCKED, hang, ran),
    ]
    assert tables(views)[0].columns == ("time to hang, s", "load ran, s")


def test_parameters_that_span_a_grid_make_one(run: RunStore) -> None:
    names = [
        f"t.py::test_cell[{a}-{b}-{c}]" for a in ("nfs", "nbd") for b in ("write", "swap") for c in ("far", "near")
    ]
    (table,) = tables([trial(run, name) for name in names])
    (grid,) = table.grids
    assert grid.rows == ("nfs-write", "nfs-swap", "nbd-write", "nbd-swap") and grid.columns == ("far", "near")
    assert all(len(grid.cells[row, column]) == 1 for row in grid.rows for column in grid.columns)


@pytest.mark.parametrize("ids", [["a-b", "a-c", "b"] * 2, ["a", "b", "c", "d", "e", "f"], ["a-b", "a-c", "b-b"]])
def test_where_they_do_not_there_is_none(run: RunStore, ids: list[str]) -> None:
    (table,) = tables([trial(run, f"t.py::test_cell[{name}]") for name in ids])
    assert table.grids == ()


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (12.0, "12"), (0.0123, "0.0123"), (7.26, "7.3"), ("mlx4", "mlx4"), (-3.5, "-3.5")]
)
def test_a_figure_is_spelled_for_readers(value: Value, text: str) -> None:
    assert spelled(value) == text


def test_the_page_shows_figures_tables_and_what_to_see_and_escapes_them(run: RunStore) -> None:
    for side in ("cp", "direct"):
        trial(run, f"t.py::test_{side}", VerdictKind.SURVIVED, Measure(name="<b>worst", value="<i>", unit="s"))
    page = write_report(run.path).read_text(encoding="utf-8")
    assert "Side by side" in page and "What to see" in page and "What to look for." in page
    assert "<b>worst" not in page and "<i>" not in page and "&lt;b&gt;worst" in page and "<script>" not in page


def test_figures_that_are_damaged_are_said_and_not_fatal(run: RunStore) -> None:
    store = run.trial("t.py::test_case")
    (store.path / "measures.json").write_text('{"measures": [{"nonsense": 1}]}')
    view = read_trial(store)
    assert view.measures == () and any("not a list of figures" in problem for problem in view.problems)


@pytest.mark.parametrize(("trials", "abreast"), [(6, True), (7, False)])
def test_a_few_trials_are_columns_and_many_are_rows(run: RunStore, trials: int, abreast: bool) -> None:
    for number in range(trials):
        trial(run, f"t.py::test_{number}", VerdictKind.SURVIVED, Measure(name="pause", value=number + 0.5, unit="s"))
    page = write_report(run.path).read_text(encoding="utf-8")
    (line,) = [line for line in page.splitlines() if ">0.5</td>" in line]
    assert (">5.5</td>" in line) is abreast, "figures of several trials on one line"
