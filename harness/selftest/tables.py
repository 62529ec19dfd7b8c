"""Tables of a score: truth against verdict, figures of each kind, the aims, and every miss."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from harness.model.verdict import VerdictKind
from harness.selftest.score import ERROR, Row
from harness.selftest.truth import CRAWL_S, STOP_S, Group

RIGHT_SHARE = 0.95
EXACT_S = 2.0
NOTHING = "–"
OUTCOMES = (*(kind.value for kind in VerdictKind), ERROR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Cells in rows below `columns`; the first column is words, the others are figures."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """An aim, the result, and whether it was met."""

    what: str
    found: str
    met: bool


def confusion(rows: Sequence[Row]) -> Table:
    """True verdicts (down) against given ones (across)."""
    counts = Counter((row.truth.expected, row.outcome) for row in rows)
    given = [outcome for outcome in OUTCOMES if any(row.outcome == outcome for row in rows)]
    true = sorted({row.truth.expected for row in rows}, key=lambda words: OUTCOMES.index(words.split(" or ")[0]))
    return Table(
        title="What was true, and what was said",
        columns=("true", *given),
        rows=tuple((words, *(str(counts[words, outcome] or "·") for outcome in given)) for words in true),
    )


def by_kind(rows: Sequence[Row]) -> Table:
    """Figures of each kind; times in seconds as median / worst, where the worst has the largest absolute value."""
    return Table(
        title="Each kind",
        columns=(
            "kind",
            "true",
            "right",
            "share, 95 % interval",
            "latency, s",
            "onset error, s",
            "duration error, s",
            "slowdown",
        ),
        rows=tuple(_figures(name, mine) for name, mine in _kinds(rows)),
    )


def _figures(name: str, rows: Sequence[Row]) -> tuple[str, ...]:
    right = sum(row.right for row in rows)
    return (
        name,
        rows[0].truth.expected,
        f"{right} of {len(rows)}",
        _share(right, len(rows)),
        _spread(row.latency_s for row in rows),
        _spread(row.onset_error_s for row in rows),
        _spread(row.duration_error_s for row in rows),
        _middle([row.slowdown for row in rows if row.slowdown is not None]),
    )


def _kinds(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """By kind, in the order of the groups."""
    groups = list(Group)
    names = sorted(
        {row.truth.name for row in rows}, key=lambda name: (groups.index(Group(name.partition(".")[0])), name)
    )
    return [(name, [row for row in rows if row.truth.name == name]) for name in names]


def _share(right: int, count: int) -> str:
    from scipy.stats import binomtest

    interval = binomtest(right, count).proportion_ci(confidence_level=0.95, method="wilson")
    return f"{right / count:.0%}, {interval.low:.0%}–{interval.high:.0%}"


def _spread(values: Iterable[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{median(known):.1f} / {max(known, key=abs):.1f}" if known else NOTHING


def _middle(values: Sequence[float]) -> str:
    return f"{median(values):.1f}" if values else NOTHING


def aims(rows: Sequence[Row]) -> list[Aim]:
    """The aims of a self-test that these rows can decide."""
    wanted = (_right(rows), _alive(rows), *(_quick(rows, within) for within in (STOP_S, CRAWL_S)), _exact(rows))
    return [aim for aim in wanted if aim is not None]


def _right(rows: Sequence[Row]) -> Aim:
    return _for_each_kind(
        f"every kind right in {RIGHT_SHARE:.0%} of its runs or more",
        rows,
        lambda mine: _too_few(sum(row.right for row in mine), len(mine)),
    )


def _too_few(good: int, count: int) -> str:
    return "" if good >= RIGHT_SHARE * count else f"{good} of {count}"


def _alive(rows: Sequence[Row]) -> Aim | None:
    alive = [row for row in rows if row.truth.group is Group.LIVE]
    if not alive:
        return None
    false = [row.trial for row in alive if row.false_hang]
    found = f"{len(false)} in {len(alive)} runs" + (f": {', '.join(false)}" if false else "")
    return Aim(what="no hang seen in a load that is alive", found=found, met=not false)


def _quick(rows: Sequence[Row], within_s: float) -> Aim | None:
    """The aim for the speed of certainty; times of slower hosts are divided by their policy's factor."""
    what = "a crawl" if within_s == CRAWL_S else "a full stop"

    def problem(mine: Sequence[Row]) -> str:
        known = [row.latency_s / row.factor for row in mine if row.latency_s is not None]
        if not known:
            return "never right"
        return f"{median(known):.1f} s" if median(known) > within_s else ""

    mine = [row for row in rows if row.truth.within_s == within_s]
    what = f"{what} is certain within {within_s:.0f} s × the policy's factor, median of each kind"
    return _for_each_kind(what, mine, problem) if mine else None


def _exact(rows: Sequence[Row]) -> Aim | None:
    def problem(mine: Sequence[Row]) -> str:
        return _too_few(sum(is_exact(row) for row in mine), len(mine))

    mine = [row for row in rows if row.truth.heals]
    what = f"one stall each, its onset and duration within {EXACT_S:.0f} s, in {RIGHT_SHARE:.0%} of the runs"
    return _for_each_kind(what, mine, problem) if mine else None


def is_exact(row: Row) -> bool:
    """Whether the verdict has exactly the one true stall."""
    errors = (row.onset_error_s, row.duration_error_s)
    return row.stalls == 1 and all(error is not None and abs(error) <= EXACT_S for error in errors)


def _for_each_kind(what: str, rows: Sequence[Row], problem: Callable[[Sequence[Row]], str]) -> Aim:
    kinds = _kinds(rows)
    missed = [f"{name} ({words})" for name, mine in kinds if (words := problem(mine))]
    found = f"{len(kinds) - len(missed)} of {len(kinds)} kinds" + (f"; not {', '.join(missed)}" if missed else "")
    return Aim(what=what, found=found, met=not missed)


def aims_table(found: Sequence[Aim]) -> Table:
    """The aims, each marked reached or missed."""
    return Table(
        title="Aims",
        columns=("aim", "found", ""),
        rows=tuple((aim.what, aim.found, "reached" if aim.met else "MISSED") for aim in found),
    )


def misses(rows: Sequence[Row]) -> Table:
    """All trials with a wrong verdict, or an inexact one if exactness is an aim."""
    wrong = [row for row in rows if not row.right or (row.truth.heals and not is_exact(row))]
    return Table(
        title="What was missed",
        columns=("trial", "true", "said", "in words"),
        rows=tuple((row.trial, row.truth.expected, row.outcome, _words(row)) for row in wrong),
    )


def _words(row: Row) -> str:
    if not row.right:
        return row.summary
    errors = zip(("onset", "duration"), (row.onset_error_s, row.duration_error_s), strict=True)
    words = [f"{name} off by {NOTHING if error is None else f'{error:.1f} s'}" for name, error in errors]
    return f"{row.stalls} stall(s), {', '.join(words)}"
