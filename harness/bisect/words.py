"""The result of a bisection in words."""

from __future__ import annotations

from harness.bisect.candidates import Candidate
from harness.bisect.state import Conclusion, End, State

_SHOWN = 10


def conclude(state: State, conclusion: Conclusion, *, commits: bool) -> str:
    """The result and its confidence; the first line is the answer. With `commits`, sides are called commits."""
    what = "commit" if commits else "side"
    culprits = [state.candidates.sides[place] for place in conclusion.answer.culprits]
    sure = f"{conclusion.answer.confidence:.1%}"
    lines = {
        End.FOUND: lambda: _found(culprits, what, sure, good_end=0 in conclusion.answer.culprits),
        End.NOT_REPRODUCED: lambda: [
            f"the bad end did not hang in {state.runs['good']} runs: nothing to bisect",
            "if it hangs more rarely, say how often with --probability",
        ],
        End.GOOD_IS_BAD: lambda: [f"the good end hangs as well ({sure}): give an older one with --good"],
        End.BAD_UNTESTABLE: lambda: ["the bad end cannot be tested, see above: give another one with --bad"],
        End.UNDECIDED: lambda: [f"more runs do not help: {sure} for " + ", ".join(side.key[:12] for side in culprits)],
    }[conclusion.end]()
    return "\n".join([*lines, _effort(state)])


def _found(culprits: list[Candidate], what: str, sure: str, *, good_end: bool) -> list[str]:
    if len(culprits) == 1:
        return [f"{culprits[0].key} is the first bad {what}, with {sure} confidence", f"    {culprits[0].title}"]
    doubt = ", if the good end is good" if good_end else ""
    shown = [f"    [{side.key}] {side.title}" for side in culprits[:_SHOWN]]
    more = [] if len(culprits) <= _SHOWN else [f"    and {len(culprits) - _SHOWN} more"]
    head = f"the first bad {what} is one of these {len(culprits)}, with {sure} confidence{doubt}"
    return [f"{head}; no run tells them apart:", *shown, *more]


def _effort(state: State) -> str:
    runs = state.runs
    counts = ", ".join(f"{runs[word]} {word}" for word in ("bad", "good", "skip") if runs[word]) or "none"
    rate = f"; a bad one hangs in about {state.rate:.0%} of its runs" if runs["bad"] else ""
    sought = f"; looked for: {state.signature}" if state.signature else ""
    return f"{runs.total()} runs: {counts}{rate}{sought}"
