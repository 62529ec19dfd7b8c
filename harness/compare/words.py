"""A comparison in words: the sentence for a commit message, and the notes under the table."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from harness.compare.question import Question
from harness.compare.result import Comparison, Side
from harness.model.overrides import WORD
from harness.model.verdict import HANGS, REPRODUCIBLE, VerdictKind
from harness.statistics import exact
from harness.statistics.claims import ALPHA, BETA, Decision
from harness.statistics.intervals import highest_rate, runs_to_exclude

RATES = (0.5, 0.2, 0.1, 0.05)  # a note says how many runs would show each
SMALLEST_P = 0.0001
_ADDED = ("module=", "patch=", "cmdline=")
_VERBS = {
    VerdictKind.STALLED: "stalled",
    VerdictKind.LIVELOCKED: "livelocked",
    VerdictKind.DEADLOCKED: "deadlocked",
    VerdictKind.LOCKED_UP: "locked up",
    VerdictKind.CRASHED: "crashed",
    VerdictKind.OOM_KILLED: "ran out of memory",
    VerdictKind.IO_FAILED: "lost its storage",
}


def sentence(found: Comparison) -> str:
    """A sentence for a commit message: "hung in 10 of 10 runs within 21 s (median 9 s) without the patch, …"."""
    with_a, with_b = phrases(found.question)
    first = f"{verb(found.question)} in {_often(found.a)} runs{_soon(found.a)} {with_a}"
    other = "".join(_other(side, phrase) for side, phrase in zip(found.sides, (with_a, with_b), strict=True))
    return f"{first}, in {_often(found.b)}{_soon(found.b)} {with_b}{_conclusion(found)}{other}"


def verb(question: Question) -> str:
    """The verb for the counted outcomes."""
    if question.counts == HANGS:
        return "hung"
    return _VERBS[next(iter(question.counts))] if len(question.counts) == 1 else "went wrong"


def phrases(question: Question) -> tuple[str, str]:
    """A phrase for each side: "without the patch" and "with it" if one side only adds to the other."""
    a, b = (_words(question.names[key]) for key in ("a", "b"))
    if _is_more(b, a):
        return f"without {_more(a, b)}", "with it"
    if _is_more(a, b):
        return f"with {_more(b, a)}", "without it"
    return f"with {shlex.join(a) or WORD}", f"with {shlex.join(b) or WORD}"


def notes(found: Comparison) -> list[str]:
    """The notes under the table, a sentence each."""
    return [*_meaning(found), *_answer(found), *_left_out(found), *_further(found)]


def spelled_p(p: float | None) -> str:
    """`p = 0.031`, `p < 0.0001`; "no p" for None."""
    if p is None:
        return "no p"
    return f"p < {SMALLEST_P:.4f}" if p < SMALLEST_P else f"p = {p:.2g}"


def spelled_s(value: float) -> str:
    """Seconds of load: `9 s`, `0.4 s`."""
    return f"{value:.0f} s" if value >= 9.5 else f"{value:.1f} s".replace(".0 ", " ")


def percent(share: float) -> str:
    """`14 %`, with one decimal for small shares."""
    value = 100 * share
    return f"{value:.1f} %" if 0 < value < 9.95 and f"{value:.1f}"[-1] != "0" else f"{value:.0f} %"


def _other(side: Side, phrase: str) -> str:
    """Other failures of a side, as "did not hang" does not mean "survived"."""
    found = side.uncounted.items()
    return "".join(f"; {_VERBS[VerdictKind(kind)]} in {count} of {side.runs} {phrase}" for kind, count in found)


def _often(side: Side) -> str:
    return f"{side.hits} of {side.runs}"


def _soon(side: Side) -> str:
    times = side.times
    if times.longest is None or times.median is None or len(times.hits) < side.hits:
        return ""
    if side.hits == 1:
        return f" after {spelled_s(times.longest)}"
    return f" within {spelled_s(times.longest)} (median {spelled_s(times.median)})"


def _conclusion(found: Comparison) -> str:
    if found.p is None:
        return ": no difference shown"
    p = f"{spelled_p(found.p)}, {found.test}"
    if found.decision is Decision.DIFFERENT:
        return f" ({p})"
    if found.decision is Decision.ALIKE:
        return f": no difference of {points(found.question)} or more ({spelled_p(_gap_p(found))}, {found.test})"
    return f": no difference shown ({p})"


def points(question: Question) -> str:
    """The least difference worth knowing, in words."""
    return f"{100 * question.gap:.0f} percentage points"


def _gap_p(found: Comparison) -> float | None:
    return None if found.look is None else found.look.p_gap


def _words(text: str) -> list[str]:
    """The words of a side, with the last part of paths; empty for a side without changes."""
    words = []
    for word in shlex.split(text):
        name, equals, value = word.partition("=")
        if equals and "/" in value and name != "cmdline":
            value = value.rstrip("/").rpartition("/")[2]
        words.append(f"{name}{equals}{value}" if equals else name.rstrip("/").rpartition("/")[2])
    return [word for word in words if word != WORD]


def _is_more(more: list[str], less: list[str]) -> bool:
    """Whether `more` only adds optional things to `less`; a kernel and memory are not optional."""
    extra = [word for word in more if word not in less]
    return bool(extra) and set(less) <= set(more) and all(word.startswith(_ADDED) for word in extra)


def _more(less: list[str], more: list[str]) -> str:
    extra = [word for word in more if word not in less]
    return "the patch" if len(extra) == 1 and extra[0].startswith("patch=") else shlex.join(extra)


def _meaning(found: Comparison) -> Iterator[str]:
    question = found.question
    yield f"Counted: {', '.join(sorted(kind.value for kind in question.counts))}."
    for side in found.sides:
        for kind, count in side.uncounted.items():
            word = next(word for word, known in REPRODUCIBLE.items() if known.value == kind)
            yield f"Not counted: {count} of {side.runs} runs of side {side.key} {kind}; --counts {word} would."


def _answer(found: Comparison) -> Iterator[str]:
    if found.look is None:
        yield f"Rates: {spelled_p(found.p)} against equal rates ({found.test}); intervals after Clopper and Pearson."
    else:
        yield from _sure(found)
    if found.p_times is not None:
        fixed = "" if found.look is None else "; it takes the number of runs as fixed beforehand, which it was not"
        yield f"Times: {spelled_p(found.p_times)} against equally long times (log-rank test{fixed})."


def _sure(found: Comparison) -> Iterator[str]:
    look, gap = found.look, points(found.question)
    assert look is not None
    alpha, beta = percent(ALPHA), percent(BETA)
    claims = {
        Decision.DIFFERENT: f"Decided after {look.after} pairs: the rates differ. Of comparisons of equal sides at "
        f"most {alpha} ever end so.",
        Decision.ALIKE: f"Decided after {look.after} pairs: no difference of {gap} or more. Of comparisons with such a "
        f"difference at most {beta} ever end so.",
        Decision.OPEN: f"Not decided after {look.pairs} pairs: neither a difference ({spelled_p(look.p)}, decided "
        f"by {ALPHA}) nor that it is below {gap} ({spelled_p(look.p_gap)}, decided by {BETA}).",
    }
    yield claims[look.decision]
    yield "The intervals hold at any time of stopping, and are wider for that."


def _left_out(found: Comparison) -> Iterator[str]:
    for side in found.sides:
        if side.vain:
            numbers = ", ".join(f"{side.key}-{number}" for number in side.vain)
            yield f"No evidence, as there was no verdict about the kernel: {numbers}."
        if side.untimed:
            known = f"{side.runs - side.untimed} of {side.runs}"
            yield f"The curve of side {side.key} is of {known} runs; of the others no time is known."
    if found.repeated:
        yield f"Run again, as they had no verdict about the kernel: {', '.join(found.repeated)}."


def _further(found: Comparison) -> Iterator[str]:
    """How many more runs would be needed, if nothing was shown."""
    a, b = found.sides
    if found.decision is Decision.DIFFERENT or not (a.runs and b.runs):
        return
    if not (a.hits or b.hits):
        yield _nothing_seen(min(a.runs, b.runs), verb(found.question))
    elif a.rate != b.rate and found.look is None:
        needed = exact.runs_to_show(a.rate, b.rate)
        more = f"about {needed} runs" if needed else "more than 300 runs"
        yield f"If the rates are as they look, a new comparison with {more} of each side shows a difference."


def _nothing_seen(runs: int, word: str) -> str:
    """The conclusion from no hit on both sides; the rule of three, exactly."""
    needed = {rate: runs_to_exclude(rate) - runs for rate in RATES}
    more = [f"{percent(rate)}: {count} more" for rate, count in needed.items() if count > 0]
    excluded = f"Neither side {word} in {runs} runs of each, which excludes rates above {percent(highest_rate(runs))}"
    if not more:
        return f"{excluded} (95 %)."
    return f"{excluded} (95 %). Runs of each side that would show, or exclude, a rate of {'; of '.join(more)}."
