"""A comparison in words: what a commit message would quote, and what stands beside the table."""

from __future__ import annotations

import pytest
from comparisons import ask, found

from harness.compare.words import notes, percent, phrases, sentence, spelled_p
from harness.model.verdict import HANGS, VerdictKind

TEN = (3.0, 5.0, 6.0, 8.0, 8.5, 9.5, 12.0, 15.0, 18.0, 21.0)


def test_the_sentence_of_a_patch_that_mends() -> None:
    assert sentence(found("D" * 10, "." * 10, times_a=TEN)) == (
        "hung in 10 of 10 runs within 21 s (median 9 s) without the patch, in 0 of 10 with it "
        "(p < 0.0001, Boschloo's exact test)"
    )


def test_the_sentence_of_a_patch_that_breaks() -> None:
    question = ask("patch=./fix.patch", "stock")
    assert sentence(found("DD.D", "....", question, times_a=(9.0, 11.0, 40.0))) == (
        "hung in 3 of 4 runs within 40 s (median 11 s) with the patch, in 0 of 4 without it: no difference shown "
        "(p = 0.07, Boschloo's exact test)"
    )


def test_both_sides_hang() -> None:
    text = sentence(found("DDDD", "D...", times_a=(1.0, 2.0, 3.0, 4.0), times_b=(50.0,)))
    assert text.startswith("hung in 4 of 4 runs within 4 s (median 2.5 s) without the patch, in 1 of 4 after 50 s")


def test_no_time_is_told_where_one_is_not_known() -> None:
    assert sentence(found("DDD", "...", times_a=(1.0, 2.0))).startswith("hung in 3 of 3 runs without the patch, in 0")


def test_nobody_hangs() -> None:
    comparison = found("." * 10, "." * 10)
    assert sentence(comparison) == (
        "hung in 0 of 10 runs without the patch, in 0 of 10 with it: no difference shown (p = 1, Boschloo's exact test)"
    )
    assert notes(comparison)[-1] == (
        "Neither side hung in 10 runs of each, which excludes rates above 26 % (95 %). Runs of each side that would "
        "show, or exclude, a rate of 20 %: 4 more; of 10 %: 19 more; of 5 %: 49 more."
    )


def test_until_sure_a_difference() -> None:
    comparison = found("DDDD", "....", ask(until_sure=True, runs=60), times_a=(4.0, 5.0, 6.0, 7.0))
    assert sentence(comparison) == (
        "hung in 4 of 4 runs within 7 s (median 5.5 s) without the patch, in 0 of 4 with it "
        "(p = 0.027, sequential test)"
    )
    assert "Decided after 4 pairs: the rates differ. Of comparisons of equal sides at most 5 % ever end so." in notes(
        comparison
    )


def test_until_sure_no_difference_worth_knowing() -> None:
    comparison = found("." * 9, "." * 9, ask(until_sure=True, runs=60))
    assert sentence(comparison) == (
        "hung in 0 of 9 runs without the patch, in 0 of 9 with it: no difference of 30 percentage points or more "
        "(p = 0.076, sequential test)"
    )


def test_until_sure_not_yet() -> None:
    comparison = found("D.", "..", ask(until_sure=True, runs=2), times_a=(4.0,))
    assert sentence(comparison).endswith(": no difference shown (p = 1, sequential test)")
    assert any(note.startswith("Not decided after 2 pairs: neither a difference (p = 1") for note in notes(comparison))


def test_nothing_ran() -> None:
    assert sentence(found("", "")) == ("hung in 0 of 0 runs without the patch, in 0 of 0 with it: no difference shown")


def test_what_is_not_counted_is_told() -> None:
    comparison = found("DDD", "CC.", times_a=(1.0, 2.0, 3.0))
    assert "Not counted: 2 of 3 runs of side b CRASHED; --counts crash would." in notes(comparison)
    assert notes(comparison)[0] == "Counted: DEADLOCKED, LIVELOCKED, LOCKED_UP, STALLED."


def test_the_sentence_does_not_pass_a_crash_for_a_survivor() -> None:
    text = sentence(found("DDDD", "CCC.", times_a=(1.0, 2.0, 3.0, 4.0)))
    assert text.endswith("in 0 of 4 with it (p = 0.0078, Boschloo's exact test); crashed in 3 of 4 with it")


def test_what_is_no_evidence_is_told() -> None:
    assert "No evidence, as there was no verdict about the kernel: a-2, a-3." in notes(found("D??", "..."))


def test_how_many_runs_would_show_a_difference_if_the_rates_stay() -> None:
    text = notes(found("DD.", "...", times_a=(1.0, 2.0)))[-1]
    assert text == (
        "If the rates are as they look, a new comparison with about 6 runs of each side shows a difference."
    )


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("stock", "patch=/x/y/fix.patch", ("without the patch", "with it")),
        ("patch=fix.patch", "stock", ("with the patch", "without it")),
        ("kernel=./linux", "kernel=./linux patch=fix.patch", ("without the patch", "with it")),
        ("module=nbd-no-memalloc", "stock", ("with module=nbd-no-memalloc", "without it")),
        ("stock", "module=./mine/nbd.ko", ("without module=nbd.ko", "with it")),
        ("stock", "kernel=/src/linux/", ("with stock", "with kernel=linux")),
        ("debian:12", "debian:13", ("with debian:12", "with debian:13")),
        ("kernel=./linux", "./linux-next", ("with kernel=linux", "with linux-next")),
        ("cmdline='a=/b c'", "memory=1G", ("with 'cmdline=a=/b c'", "with memory=1G")),
        ("stock", "stock", ("with stock", "with stock")),
    ],
)
def test_what_tells_the_sides_apart(a: str, b: str, expected: tuple[str, str]) -> None:
    assert phrases(ask(a, b)) == expected


@pytest.mark.parametrize(
    ("counts", "word"),
    [
        (HANGS, "hung"),
        ({VerdictKind.DEADLOCKED}, "deadlocked"),
        ({VerdictKind.CRASHED}, "crashed"),
        ({*HANGS, VerdictKind.CRASHED}, "went wrong"),
    ],
)
def test_the_word_for_what_is_counted(counts: set[VerdictKind], word: str) -> None:
    assert sentence(found("..", "..", ask(counts=frozenset(counts)))).startswith(f"{word} in 0 of 2 runs")


@pytest.mark.parametrize(
    ("p", "text"),
    [(None, "no p"), (1.0, "p = 1"), (0.03125, "p = 0.031"), (0.00012, "p = 0.00012"), (0.00009, "p < 0.0001")],
)
def test_p_in_words(p: float | None, text: str) -> None:
    assert spelled_p(p) == text


@pytest.mark.parametrize(
    ("share", "text"), [(0.0, "0 %"), (1.0, "100 %"), (0.025, "2.5 %"), (0.05, "5 %"), (0.26, "26 %")]
)
def test_shares_in_words(share: float, text: str) -> None:
    assert percent(share) == text
