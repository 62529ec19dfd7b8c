"""Rows of a score as tables: nothing that was missed is hidden."""

from __future__ import annotations

from random import Random

import pytest

from harness.model.verdict import VerdictKind
from harness.selftest.page import markdown, page
from harness.selftest.score import ERROR, Row
from harness.selftest.tables import Aim, Table, aims, aims_table, by_kind, confusion, misses
from harness.selftest.truth import CRAWL_S, STOP_S, Truth
from harness.trial.plan import Plan


def no_plan(random: Random) -> Plan:
    raise AssertionError("tables run nothing")


def truth(name: str, accepted: VerdictKind, within_s: float | None = None, heals: bool = False) -> Truth:
    return Truth(name=name, about="what is done", accepted=(accepted,), plan=no_plan, within_s=within_s, heals=heals)


LIVE = truth("live.cpu", VerdictKind.SURVIVED)
DEAD = truth("deadlock.link", VerdictKind.DEADLOCKED, STOP_S)
CRAWL = truth("livelock.delay", VerdictKind.LIVELOCKED, CRAWL_S)
STALL = truth("stall.20", VerdictKind.STALLED, STOP_S, heals=True)


def row(kind: Truth, number: int, outcome: str = "", latency_s: float | None = None, **more: float) -> Row:
    said = outcome or kind.accepted[0].value
    return Row(
        trial=f"{kind.name}/{number}",
        truth=kind,
        outcome=said,
        summary=f"said {said}",
        right=not outcome,
        slowdown=18.0,
        factor=more.get("factor", 1.0),
        latency_s=latency_s,
        onset_error_s=more.get("onset"),
        duration_error_s=more.get("duration"),
        stalls=int(more.get("stalls", 0)),
    )


def found(rows: list[Row], words: str) -> Aim:
    return next(aim for aim in aims(rows) if words in aim.what)


def test_the_confusion_counts_what_is_true_against_what_was_said() -> None:
    rows = [row(DEAD, 1), row(DEAD, 2), row(DEAD, 3, "LOST"), row(LIVE, 1), row(LIVE, 2, ERROR)]
    table = confusion(rows)
    assert table.columns == ("true", "SURVIVED", "DEADLOCKED", "LOST", "ERROR")
    assert table.rows == (("SURVIVED", "1", "·", "·", "1"), ("DEADLOCKED", "·", "2", "1", "·"))


def test_a_kind_shows_its_share_with_an_interval_and_the_worst_beside_the_median() -> None:
    rows = [row(STALL, n, latency_s=float(n), onset=-0.5 * n, duration=0.1) for n in (1, 2, 6)]
    (figures,) = by_kind(rows).rows
    assert figures == (
        "stall.20",
        "STALLED",
        "3 of 3",
        "100%, 44%–100%",
        "2.0 / 6.0",
        "-1.0 / -3.0",
        "0.1 / 0.1",
        "18.0",
    )


def test_kinds_come_in_the_order_of_their_groups() -> None:
    assert [line[0] for line in by_kind([row(STALL, 1), row(DEAD, 1), row(LIVE, 1)]).rows] == [
        "live.cpu",
        "deadlock.link",
        "stall.20",
    ]


@pytest.mark.parametrize(("wrong", "met"), [(0, True), (1, True), (2, False)])
def test_a_kind_may_be_wrong_once_in_twenty(wrong: int, met: bool) -> None:
    rows = [row(LIVE, n) for n in range(20 - wrong)] + [row(LIVE, 20 + n, "INCONCLUSIVE") for n in range(wrong)]
    aim = found(rows, "every kind right")
    assert aim.met is met
    assert ("live.cpu" in aim.found) is not met


def test_one_hang_in_a_live_load_misses_the_aim_and_is_named() -> None:
    aim = found([row(LIVE, 1), row(LIVE, 2, "STALLED")], "no hang")
    assert (aim.met, aim.found) == (False, "1 in 2 runs: live.cpu/2")
    assert found([row(LIVE, 1), row(LIVE, 2, "LOST")], "no hang").met


@pytest.mark.parametrize(
    ("kind", "latency", "factor", "met"),
    [(DEAD, 4.9, 1.0, True), (DEAD, 5.1, 1.0, False), (DEAD, 6.0, 1.5, True), (CRAWL, 14.0, 1.0, True)],
)
def test_latency_is_held_against_the_factor_of_the_policy(
    kind: Truth, latency: float, factor: float, met: bool
) -> None:
    assert found([row(kind, 1, latency_s=latency, factor=factor)], "certain within").met is met


def test_a_kind_that_was_never_right_is_not_quick() -> None:
    aim = found([row(DEAD, 1, "LOST")], "full stop")
    assert (aim.met, aim.found) == (False, "0 of 1 kinds; not deadlock.link (never right)")


@pytest.mark.parametrize(
    ("more", "met"),
    [
        ({"stalls": 1, "onset": 1.9, "duration": -1.9}, True),
        ({"stalls": 2, "onset": 0.0, "duration": 0.0}, False),
        ({"stalls": 1, "onset": 0.0, "duration": 2.1}, False),
        ({"stalls": 1, "onset": 0.0}, False),
    ],
)
def test_a_stall_is_exact_if_it_is_the_only_one_and_within_two_seconds(more: dict[str, float], met: bool) -> None:
    rows = [row(STALL, 1, "", 4.0, **more)]
    assert found(rows, "one stall each").met is met
    assert bool(misses(rows).rows) is not met


def test_aims_that_nothing_ran_for_are_not_claimed() -> None:
    assert [aim.what.split()[0] for aim in aims([row(LIVE, 1)])] == ["every", "no"]


def test_every_wrong_trial_is_listed_with_its_words() -> None:
    table = misses([row(LIVE, 1), row(LIVE, 2, ERROR)])
    assert table.rows == (("live.cpu/2", "SURVIVED", "ERROR", "said ERROR"),)


def test_markdown_keeps_its_columns_whatever_a_cell_says() -> None:
    text = markdown(Table(title="T", columns=("a", "b"), rows=(("x|y", "1"), ("two\nlines", "–"))))
    assert text == "## T\n\n| a | b |\n| --- | ---: |\n| x\\|y | 1 |\n| two lines | – |\n"


def test_the_page_says_what_was_missed_and_where_the_figures_are_from() -> None:
    rows = [row(DEAD, 1, "LOST")]
    host = {"kernel": "debian-6.1", "accelerator": "tcg"}
    manifest = {
        "harness": "1",
        "host": {"machine": "x86_64", "kernel": "6.9.44-of-this-machine", "processors": 2},
        "lanes": 2,
        "selftest": {"seed": 7},
        "trials": {"deadlock.link-1": {"hosts": {"small": host}}},
    }
    text = page(rows, aims(rows), [DEAD, LIVE], {"run-1": manifest})
    assert "MISSED" in text
    assert "| deadlock.link/1 | DEADLOCKED | LOST | said LOST |" in text
    assert "what is done" in text
    assert "run run-1, seed 7" in text
    assert "debian-6.1 (tcg)" in text
    assert "(x86_64, Linux 6.9)" in text
    assert "Kinds that no run has: live.cpu." in text


def test_the_aims_are_shown_with_their_outcome() -> None:
    assert aims_table([Aim(what="w", found="f", met=True)]).rows == (("w", "f", "reached"),)
